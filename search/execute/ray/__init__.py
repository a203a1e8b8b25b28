"""Trainings on a Ray cluster (`--executor ray`).

    driver -- pipe -- bridge process -- Ray -- actor -- pipe -- worker process

The worker is the local executor's own, with its protocol; the actor beside it is a local executor of one job.
Ray is imported by the bridge alone: a lost cluster hangs or aborts the process that is connected to it, and
so the driver can outlive both, write down where it is and end with one line.
"""
