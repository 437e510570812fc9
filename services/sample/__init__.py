"""The sample project on real data: the flights that left New York in 2013, told as the months before today."""
