"""DivideMix: two networks that sort the samples for each other, guess labels and mix."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor, nn
from torch.nn import functional as F

from bench.seeds import Stream
from methods import base
from methods.coop import PromptLearner
