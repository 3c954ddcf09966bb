"""The same search on the machines of a Ray cluster: one agent on every node runs what runs a local search.

Ray brings the machines; it starts one actor a node, and carries bytes. It is imported when it is asked for.
"""
