"""The flow of a run: plan, extract, compute, build, publish; `execute` carries out a step, `work` is what it is given.

Each folder imports only from those before it: tracing, planning, computing, extracting, then building, publishing and
looking.
"""
