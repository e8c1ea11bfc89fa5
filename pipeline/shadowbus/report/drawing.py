"""A chart as an SVG picture that stands in the page. The only file that imports Vega."""

import logging

import orjson
import vl_convert

from shadowbus.report.look import Spec

INSTEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="260" height="24" role="img">'
    '<text x="0" y="16" font-size="12" fill="var(--muted)">This chart could not be drawn.</text></svg>'
)

logger = logging.getLogger("shadowbus.report")


def drawn(spec: Spec) -> str:
    """The picture as SVG; whatever text is in it is escaped, and it holds no script and no address to fetch.

    A chart that Vega cannot draw says so in its place: it does not cost the report.
    """
    try:
        return vl_convert.vegalite_to_svg(orjson.dumps(spec).decode())
    except ValueError as error:
        logger.warning("A chart of the report could not be drawn: %s", str(error).partition("\n")[0])
        return INSTEAD
