from bench.contract.checks import *
from bench.contract.checks import CHECKS
from bench.contract.material import *
from bench.contract.material import backbone
