"""A chart as an SVG picture that stands in the page. The only file that imports Vega."""

import orjson
import vl_convert

from shadowbus.report.look import Spec


def drawn(spec: Spec) -> str:
    """The picture as SVG; whatever text is in it is escaped, and it holds no script and no address to fetch."""
    return vl_convert.vegalite_to_svg(orjson.dumps(spec).decode())
