"""Generated trajectories of every shape that the record allows, for property tests."""

from hypothesis import strategies as st

from trajectories import Action, Step, Trajectory

# Lone surrogates stand in real data: broken sources hold them.
TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=30) | st.sampled_from(
    ["", " ", "\n", "\r\n", "\u2028", "\x00", "</function>", "OBSERVATION:\nx", "<think>", "```bash\nls\n```"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=4)
ACTIONS = st.builds(Action, name=TEXT, arguments=OBJECTS)
STEPS = st.builds(
    Step,
    thought=TEXT,
    actions=st.lists(ACTIONS, max_size=3).map(tuple),
    observation=TEXT,
    target=st.sampled_from([True, True, False]),
)
TRAJECTORIES = st.builds(
    Trajectory,
    trajectory_id=TEXT,
    instance_id=TEXT,
    task=TEXT,
    steps=st.lists(STEPS, max_size=5).map(tuple),
    source=TEXT,
    model=st.none() | TEXT,
    resolved=st.none() | st.booleans(),
    patch=st.none() | TEXT,
    metadata=OBJECTS,
)
