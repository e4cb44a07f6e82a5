"""What the criteria make of token texts: edit distances, shared tokens, alignments, vocabulary maps.

A vocabulary is `{"student": [str], "teacher": [str], "student_eos": int, "teacher_eos": int}`,
the two last ones optional. Word-start marks of either kind count as a space.
"""

import functools

MARKS = str.maketrans({"\u2581": " ", "\u0120": " "})


def texts(vocabulary, side):
    """The texts of one side's tokens with marks made spaces; None for its end of sequence."""
    eos = vocabulary.get(f"{side}_eos")
    tokens = vocabulary[side]
    return [None if i == eos else token.translate(MARKS) for i, token in enumerate(tokens)]


@functools.cache
def edit_distance(a, b):
    """Levenshtein distance over UTF-8 bytes."""
    a, b = a.encode(), b.encode()
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y)))
    return row[-1]


# Exact alignment (dskd_v2_eta) -----------------------------------------------------------------


def first_of_equal_text(tokens):
    first = {}
    for i, text in enumerate(tokens):
        first.setdefault(text, i)
    return first


def shared_tokens(vocabulary):
    """(student id, first teacher id of equal text) in the order of student ids; eos with eos."""
    first = first_of_equal_text(texts(vocabulary, "teacher"))
    pairs = enumerate(texts(vocabulary, "student"))
    return [(s, first[text]) for s, text in pairs if text in first]


def equal_tokens(vocabulary):
    """map(t): teacher id to the first student id of equal text, where there is one."""
    first = first_of_equal_text(texts(vocabulary, "student"))
    pairs = enumerate(texts(vocabulary, "teacher"))
    return {t: first[text] for t, text in pairs if text in first}


def places(tokens, labels):
    """(text before, own text, is eos) of each label; leading spaces of the whole text are no text."""
    before, found = "", []
    for label in labels:
        text = tokens[label] or ""
        text = text if before else text.lstrip(" ")
        found.append((before, text, tokens[label] is None))
        before += text
    return found


def aligned_pairs(vocabulary, student_labels, teacher_labels):
    """(i, j) of one example whose texts, and the texts before them, are equal; each i and j once."""
    waiting = {}
    for j, place in enumerate(places(texts(vocabulary, "teacher"), teacher_labels)):
        waiting.setdefault(place, []).append(j)
    mine = enumerate(places(texts(vocabulary, "student"), student_labels))
    return [(i, waiting[place].pop(0)) for i, place in mine if waiting.get(place)]


# Dynamic time warping (min_edit) ---------------------------------------------------------------


def nearest_tokens(vocabulary):
    """map(t) of every teacher token: the student token of least edit distance, eos to eos."""
    students = [token.translate(MARKS) for token in vocabulary["student"]]

    def nearest(t, token):
        if t == vocabulary.get("teacher_eos") and "student_eos" in vocabulary:
            return vocabulary["student_eos"]
        distances = [edit_distance(token.translate(MARKS), text) for text in students]
        return distances.index(min(distances))

    return [nearest(t, token) for t, token in enumerate(vocabulary["teacher"])]


def warping_cost(vocabulary, i, j):
    if i == vocabulary.get("student_eos") and j == vocabulary.get("teacher_eos"):
        return 0
    sides = (("student", i), ("teacher", j))
    return edit_distance(
        *(vocabulary[side][token].translate(MARKS).replace(" ", "") for side, token in sides)
    )


def warping_path(vocabulary, student_ids, teacher_ids):
    """Pairs (i, j) of the cheapest path from (0, 0) to the ends, as backtracking meets them."""
    total = {}
    for i, s in enumerate(student_ids):
        for j, t in enumerate(teacher_ids):
            before = [total[p] for p in steps_back(i, j)]
            total[i, j] = warping_cost(vocabulary, s, t) + min(before, default=0)
    path = [(len(student_ids) - 1, len(teacher_ids) - 1)]
    while path[-1] != (0, 0):
        path.append(min(steps_back(*path[-1]), key=total.__getitem__))  # the first of equals
    return path


def steps_back(i, j):
    """Cells before (i, j), in the order that backtracking prefers."""
    cells = ((i - 1, j - 1), (i - 1, j), (i, j - 1))
    return [cell for cell in cells if min(cell) >= 0]


def carried_rows(vocabulary, student_ids, teacher_ids):
    """{i: j} of the student rows that take teacher row j's distribution; the rest keep labels."""
    partners = {}
    for i, j in warping_path(vocabulary, student_ids, teacher_ids):
        partners.setdefault(i, []).append(j)
    nearest = nearest_tokens(vocabulary)
    return {
        i: j[0]
        for i, j in partners.items()
        if len(j) == 1 and nearest[teacher_ids[j[0]]] == student_ids[i]
    }
