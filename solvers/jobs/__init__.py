"""Jobs: many samples of one network in one folder, whatever happens on the way.

A :class:`~.job.Job` says which images; :func:`~.work.run_job` makes them, in batches, in any
number of processes. What is on the disk decides what is still to be done.
"""
