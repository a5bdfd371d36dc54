"""Zachary's karate club: 34 members, who meets whom outside the club, and the two clubs it broke into.

Zachary 1977, An Information Flow Model for Conflict and Fission in Small Groups.
"""

from typing import NamedTuple

import numpy as np

from tinynet.graph import Graph

# member: those with a higher number whom they meet
MEETS = """
    0: 1 2 3 4 5 6 7 8 10 11 12 13 17 19 21 31
    1: 2 3 7 13 17 19 21 30
    2: 3 7 8 9 13 27 28 32
    3: 7 12 13
    4: 6 10
    5: 6 10 16
    6: 16
    8: 30 32 33
    9: 33
    13: 33
    14: 32 33
    15: 32 33
    18: 32 33
    19: 33
    20: 32 33
    22: 32 33
    23: 25 27 29 32 33
    24: 25 27 31
    25: 31
    26: 29 33
    27: 33
    28: 31 33
    29: 32 33
    30: 32 33
    31: 32 33
    32: 33
"""
FACTIONS = "0000000001000011001010111111111111"


class Karate(NamedTuple):
    """graph (34 nodes, 78 ties seen from both ends), factions (34) int64: 0 Mr. Hi's (node 0), 1 the officer's (33)."""

    graph: Graph
    factions: np.ndarray


def karate_club():
    """The club, with the factions that its members joined when it broke up.

    >>> club = karate_club()
    >>> club.graph, club.factions[[0, 33]].tolist()
    (Graph(34 nodes, 156 edges), [0, 1])
    """
    lines = [line.split(":") for line in MEETS.split("\n") if line.strip()]
    ties = [(int(i), int(j)) for i, others in lines for j in others.split()]
    return Karate(Graph.from_edges(ties, len(FACTIONS)).undirected(), np.array(list(FACTIONS), np.int64))
