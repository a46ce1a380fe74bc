"""Pure decisions: where should this job go? Values in, placements out.

Floor 0. It may know numpy and its own values; it may not know a clock, a random
source, a network, a store or any other room of the house.
"""
