"""What people do. One public function is one transaction; helpers that take a session never commit.

Every command takes `actor` and `clock`, decides itself whether the actor may, locks the slot it moves something in,
and writes its audit event in the same transaction.
"""
