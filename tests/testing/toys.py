from bench.methods.coop import CoOp


class Toy(CoOp):
    """A sound method to plant defects in.

    No paper: CoOp under another name.

    Equations: CoOp's.
    """
