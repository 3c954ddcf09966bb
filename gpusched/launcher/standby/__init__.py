"""Copies of the process that calls search(), made by forking it while it can be forked.

A copy holds all that the caller has loaded and made, whatever it is: no import, no pickling, no second load of the
data. `forkable` says whether a process can be forked, `wakes` tells when a framework's runtime is about to
end that, and `copies` turns a copy into launchers.
"""
