"""Several owners decide what to prune: ranks, votes, ballots, counts.

* ``votes``: the arithmetic: ranks and votes, their aggregation, how much to prune. Start here.
* ``participant``: what one owner does with images of its own.
* ``ballots``: ballots, pruning sequences and feedback as records.
* ``ballot_files``: the same as files.
* ``tally``: counts them: refused, enough, the sequence.
* ``noise``: votes with local differential privacy.
* ``options``: what files and rounds have in common.
* ``joint_steps``: prune, tune, adjust: the one sequence of steps.
"""
