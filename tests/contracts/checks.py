from bench.contract.checks import *
from bench.contract.material import *
