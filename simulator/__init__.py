"""A whole federation in virtual time: the real core, supervisor and scheduler, one seed, one run.

Floor 3: may import broker, agent, scheduler and suan; nothing of the product imports it.
"""
