"""Facts about a trained detector in, one self-contained HTML page out; needs the extra `report`."""

from ._facts import FACTS as FACTS
from ._page import render as render
from ._page import write as write
from ._plots import figure_png as figure_png
from ._plots import histograms_svg as histograms_svg
from ._plots import security_curve_svg as security_curve_svg
