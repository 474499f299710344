"""What every method must pass: `bench test PLUGIN`, or from a plugin's own tests, `run(MyMethod, MyMethod.Options())`.

`material` is a small random CLIP with random features and labels, `checks` the contract's clauses.
"""
