"""What people reach of runs from afar: their output, their files, and commands beside their ranks.

Each answers questions that the broker passes on, part by part and bounded; `answers` joins them.
"""
