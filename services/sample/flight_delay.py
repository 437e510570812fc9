"""The first story: will a flight leave late? A model a month, a notice to passengers, and a year with its troubles.

The steps of every delivery are the same routine, whatever comes of them. What the gates stop, they stop for what is in
it: the leak is an extra column of one recipe, the missing weather a silent station of another, the broken notice a
text without one of its variables; and the model of March is the weaker one because February was not like March.
"""

from __future__ import annotations

from services.commands.incidents import NONE_NEEDED
from services.sample.data import Recipe
from services.sample.people import LEAD, MAKER
from services.sample.steps import (
    PRODUCTION,
    STAGING,
    Approve,
    Decide,
    Delivery,
    Moment,
    Practise,
    Promote,
    Reject,
    Report,
    Resolve,
    Retrain,
    Reword,
    RollBack,
    SampleApplication,
)

FIRST_WORDING = (
    "Write a short notice to the passengers of {{airline}} flight {{flight}}. It will probably leave about "
    "{{minutes}} minutes late. Apologise once and ask them to stay near the gate."
)
WORDING_WITHOUT_MINUTES = (
    "You write for people who are waiting at an airport. In at most two plain sentences, tell the passengers of "
    "{{airline}} flight {{flight}} that it will probably leave late. Give no cause and promise nothing."
)
SECOND_WORDING = (
    "You write for people who are waiting at an airport. In at most two plain sentences, tell the passengers of "
    "{{airline}} flight {{flight}} that it will probably leave about {{minutes}} minutes late. Give no cause and "
    "promise nothing."
)

APPLICATION = SampleApplication("flight-delay", "policy.toml", LEAD, "delay-notice", FIRST_WORDING)
LATE_WARNINGS, NO_WARNINGS = "late warnings", "no warnings"
WHOLE_MONTH = 40_000  # rows, more than any month has

DELIVERIES = (
    Delivery(
        APPLICATION,
        "2013-01",
        1,
        Retrain(Recipe(1), Moment(2, 9, 10), 14, (Moment(1, 9, 30), Moment(1, 15, 5))),
        (
            Promote(STAGING, Moment(2, 13), "The first model, trained on two weeks of January."),
            Promote(PRODUCTION, Moment(4, 9, 30)),
            Approve(PRODUCTION, Moment(5, 10, 15), "Go. We watch the first week together."),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-02",
        2,
        Retrain(Recipe(2), Moment(3, 8, 40), 19, (Moment(1, 11, 20),)),
        (
            Promote(STAGING, Moment(3, 14), "Retrained with all of January."),
            Promote(PRODUCTION, Moment(5, 9)),
            Approve(PRODUCTION, Moment(5, 15, 40), "Clearly better than the first one."),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-03",
        3,
        Retrain(Recipe(3), Moment(2, 9, 20), 23, (Moment(1, 10), Moment(1, 16, 20))),
        (
            Promote(STAGING, Moment(2, 11, 15), "Retrained with one month more."),
            Promote(PRODUCTION, Moment(3, 9, 45)),
            Decide("accuracy-vs-live", Moment(3, 14, 30), defect=True),
            Approve(PRODUCTION, Moment(4, 10)),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-04",
        4,
        Retrain(Recipe(4), Moment(3, 9, 5), 24, (Moment(2, 13, 10),)),
        (
            Promote(STAGING, Moment(3, 11, 30), "Retrained with one month more."),
            Promote(PRODUCTION, Moment(6, 9, 15), "The month that made it worse now makes it better."),
            Approve(PRODUCTION, Moment(8, 11, 20)),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-05",
        5,
        Retrain(Recipe(5), Moment(2, 9, 10), 26, (Moment(1, 9, 30), Moment(1, 15, 5))),
        (
            Promote(STAGING, Moment(2, 13), "Retrained with one month more."),
            Promote(PRODUCTION, Moment(4, 9, 30)),
            Approve(PRODUCTION, Moment(4, 16, 25), "The largest step so far."),
            Report(
                LATE_WARNINGS,
                "Warnings came an hour late on two mornings",
                "low",
                Moment(7, 9, 30),
                Moment(8, 11, 20),
            ),
            Resolve(
                LATE_WARNINGS,
                Moment(8, 15, 10),
                "The job that asks the model had been moved to a slower machine. It is back where it was.",
                NONE_NEEDED,
                by=MAKER,
            ),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-06",
        6,
        Retrain(
            Recipe(6, silent_stations=("LGA",)),
            Moment(3, 8, 40),
            27,
            (Moment(1, 11, 20),),
        ),
        (
            Promote(STAGING, Moment(3, 14), "Retrained with one month more."),
            Decide("schema", Moment(3, 16, 10), defect=True, by=MAKER),
            Promote(PRODUCTION, Moment(4, 9)),
            Approve(PRODUCTION, Moment(4, 15, 40)),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-06, with all stations",
        6,
        Retrain(Recipe(6), Moment(5, 9, 10), 27, (Moment(4, 10, 35),)),
        (
            Promote(STAGING, Moment(5, 11), "LaGuardia's weather is back; it had been missing since the feed moved."),
            Promote(PRODUCTION, Moment(5, 15, 30)),
            Approve(PRODUCTION, Moment(8, 9, 50), "Nothing unusual in the evidence."),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-07",
        7,
        Retrain(
            Recipe(7, extra_columns=("dep_delay",)),
            Moment(2, 10),
            31,
            (Moment(1, 10, 45), Moment(1, 16, 30), Moment(2, 8, 55)),
        ),
        (
            Promote(STAGING, Moment(2, 15, 20), "A new column makes it far better than any before."),
            Promote(PRODUCTION, Moment(3, 9)),
            Decide("schema", Moment(3, 9, 30), defect=True),
            Approve(PRODUCTION, Moment(3, 16)),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-07, declared columns",
        7,
        Retrain(Recipe(7), Moment(4, 9, 15), 28, (Moment(3, 16, 40),)),
        (
            Promote(STAGING, Moment(4, 11, 30), "The same month, trained on the declared columns only."),
            Promote(PRODUCTION, Moment(4, 16)),
            Approve(PRODUCTION, Moment(5, 9, 20), "Good catch by the gate."),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-08",
        8,
        Retrain(Recipe(8), Moment(2, 9), 29, (Moment(1, 13, 35),)),
        (
            Promote(STAGING, Moment(2, 11), "Retrained with the busiest month so far."),
            Promote(PRODUCTION, Moment(3, 10)),
            Approve(PRODUCTION, Moment(3, 17, 5)),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-09",
        9,
        Retrain(Recipe(9), Moment(2, 9, 20), 30, (Moment(1, 9, 50), Moment(1, 17))),
        (
            Promote(STAGING, Moment(2, 12), "Retrained with one month more."),
            Promote(PRODUCTION, Moment(3, 9, 45)),
            Approve(PRODUCTION, Moment(3, 14, 30), "Knows the month in which far fewer flights left late."),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-10",
        10,
        Retrain(Recipe(10, hours_in_utc=True), Moment(2, 8, 50), 32, (Moment(1, 10, 5), Moment(1, 16, 50))),
        (
            Promote(STAGING, Moment(2, 11, 15), "Retrained with one month more, from the new feed of flights."),
            Promote(PRODUCTION, Moment(3, 9)),
            Approve(PRODUCTION, Moment(3, 14, 25), "Drift only watches, and says that the hours moved. Let us see."),
            Report(
                NO_WARNINGS,
                "Hardly any flight is warned of any more",
                "high",
                Moment(3, 15),
                Moment(4, 7, 40),
                blames=True,
                by=LEAD,
            ),
            RollBack(
                PRODUCTION,
                Moment(4, 8, 5),
                "Warns of one flight in a hundred, not of one in twenty-five: the new feed counts its hours in UTC.",
                quarantine=True,
            ),
            RollBack(STAGING, Moment(4, 8, 20), "What production went back from is of no use here either."),
            Resolve(
                NO_WARNINGS,
                Moment(4, 9, 30),
                "Rolled back, and the bundle quarantined. The drift gate had seen it, and only watched.",
                "drift",
            ),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-10, in local hours",
        10,
        Retrain(Recipe(10), Moment(7, 9), 32, (Moment(4, 15, 20), Moment(6, 10, 40))),
        (
            Promote(STAGING, Moment(7, 11, 40), "The same month, with the hours in New York's time again."),
            Promote(PRODUCTION, Moment(7, 15, 30)),
            Approve(PRODUCTION, Moment(8, 9, 5)),
            Decide("accuracy-vs-live", Moment(11, 15, 30), defect=False),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-10, judged on the whole month",
        10,
        Retrain(Recipe(10, judged_on=WHOLE_MONTH), Moment(10, 9, 30), 32, (Moment(9, 16, 50),)),
        (
            Promote(STAGING, Moment(10, 11), "The same model, with enough held-out flights for an answer."),
            Promote(PRODUCTION, Moment(11, 14)),
            Approve(PRODUCTION, Moment(12, 13, 25), "As good as what is live, and one month fresher."),
        ),
    ),
    Delivery(
        APPLICATION,
        "shorter notice",
        10,
        Reword(WORDING_WITHOUT_MINUTES, Moment(18, 9, 30), (Moment(17, 15, 10),)),
        (
            Promote(STAGING, Moment(18, 10), "Shorter, plainer notice, as the customer desk asked."),
            Decide("notice", Moment(18, 11, 20), defect=True),
            Promote(PRODUCTION, Moment(18, 14)),
            Approve(PRODUCTION, Moment(18, 16, 30)),
        ),
    ),
    Delivery(
        APPLICATION,
        "shorter notice, with minutes",
        10,
        Reword(SECOND_WORDING, Moment(19, 9, 30), (Moment(18, 16, 45),)),
        (
            Promote(STAGING, Moment(19, 10, 15), "The shorter notice says again how many minutes."),
            Promote(PRODUCTION, Moment(19, 13)),
            Approve(PRODUCTION, Moment(20, 9, 10), "Reads well. The model is the same."),
            Practise(STAGING, Moment(26, 10)),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-11",
        11,
        Retrain(Recipe(11), Moment(2, 9, 35), 33, (Moment(1, 15, 15),)),
        (
            Promote(STAGING, Moment(2, 14), "Retrained with one month more."),
            Promote(PRODUCTION, Moment(3, 11)),
            Reject(
                PRODUCTION,
                Moment(4, 10, 40),
                "The weakest since February at telling late flights apart. What is live stays until we know why.",
            ),
        ),
    ),
    Delivery(
        APPLICATION,
        "2013-12",
        12,
        Retrain(Recipe(12), Moment(2, 9, 5), 35, (Moment(1, 11, 30), Moment(1, 16, 45))),
        (
            Promote(STAGING, Moment(3, 10), "Retrained with one month more."),
            Promote(PRODUCTION, Moment(6, 15, 10), "One month more than the one that was turned down."),
        ),
    ),
)
