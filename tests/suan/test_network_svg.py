"""The schematic: whole, self-contained, legible, and the same every time."""

import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scheduler.model import Link, Network, NetworkNode
from suan.network import load
from suan.network.labels import Box, Wanted, arrange, text_width
from suan.network.layout import Curve, Frame, place, route
from suan.network.svg import svg

FILE = load((Path(__file__).parents[2] / "deploy/networks/china.yaml").read_text("utf-8"))
SITES = [("shenzhen", "shenzhen"), ("zhengzhou", "zhengzhou"), ("guiyang", "guiyang")]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawing() -> ElementTree.Element:
    return ElementTree.fromstring(svg(FILE, SITES))


def of_class(drawing: ElementTree.Element, tag: str, name: str) -> list[ElementTree.Element]:
    return [element for element in drawing.iter(SVG + tag) if element.get("class") == name]


def test_it_is_small_self_contained_and_always_the_same() -> None:
    text = svg(FILE, SITES)
    assert len(text.encode()) < 60_000
    assert text == svg(FILE, SITES)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"<(script|image|use|polygon|foreignObject)|url\(|@import", text)


def test_it_draws_each_node_link_and_site_once(drawing: ElementTree.Element) -> None:
    # One more of each in the legend.
    assert len(of_class(drawing, "circle", "hub")) == 8 + 1
    assert len(of_class(drawing, "circle", "cluster")) == 10 + 1
    assert len(of_class(drawing, "circle", "city")) == 33 + 1
    assert len(of_class(drawing, "circle", "at")) == len(SITES) + 1
    widths = {"trunk": 23, "line": 56, "thread": 22}
    for name, count in widths.items():
        assert len(of_class(drawing, "path", name)) == count + 1
    # Nothing else is drawn that could be taken for a boundary.
    assert len(list(drawing.iter(SVG + "path"))) == sum(widths.values()) + len(widths)


def test_labels_are_in_both_languages_and_units_in_the_legend(
    drawing: ElementTree.Element,
) -> None:
    texts = {"".join(element.itertext()) for element in drawing.iter(SVG + "text")}
    assert {"Beijing-Tianjin-Hebei", "京津冀", "Xi'an 西安", "Gui'an 贵安"} <= texts
    assert "Zhengzhou 郑州▪ zhengzhou" in texts
    assert {"100 Gb/s per flow", "25 Gb/s per flow", "latency, ms one way"} <= texts
    assert any("CC BY 4.0" in text and "not a map" in text for text in texts)


def test_no_label_covers_another_label_or_a_node(drawing: ElementTree.Element) -> None:
    labels = dict(map(_label_box, of_class(drawing, "text", "n")))
    nodes = [
        Box(x - r, y - r, 2 * r, 2 * r)
        for kind in ("hub", "cluster", "city")
        for circle in of_class(drawing, "circle", kind)
        for x, y, r in [tuple(float(circle.get(key, "0")) for key in ("cx", "cy", "r"))]
    ]
    assert len(labels) == len(FILE.network.nodes)
    for (one, box), (other, its) in combinations(labels.items(), 2):
        assert box.overlap(its) < 12, (one, other)
    for text, box in labels.items():
        assert box.left > 0
        assert box.left + box.width < 1500, text
        assert sum(box.overlap(node) for node in nodes) < 25, text
    for one, its in combinations(nodes, 2):
        assert one.overlap(its) == 0


def _label_box(element: ElementTree.Element) -> tuple[str, Box]:
    x, y, size = (float(element.get(key, "0")) for key in ("x", "y", "font-size"))
    sites = [part for part in element if part.get("class") == "site"]
    whole = "".join(element.itertext())
    below = "".join("".join(part.itertext()) for part in sites)
    width = max(text_width(whole.removesuffix(below), size), text_width(below, size))
    left = x - {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor", "start")] * width
    return whole, Box(left, y - size, width, size * (2.25 if sites else 1.15))


def test_names_from_a_broker_are_drawn_and_never_become_markup() -> None:
    nodes = (
        NetworkNode("xian", "city", 34.3, 108.9, "", '</text><script a="1">'),
        NetworkNode("inner-mongolia", "hub", 40.8, 111.7, "", "&<>"),
        NetworkNode("nowhere", "strange", 30, 100),
    )
    links = (Link("xian", "inner-mongolia", 25, 7), Link("xian", "not-there", 25, 7))
    sites = [(f"<b>{n}", "xian") for n in range(5)] + [("lost", "not-there")]
    drawing = ElementTree.fromstring(svg(Network(nodes, links), sites))
    texts = ["".join(element.itertext()) for element in drawing.iter(SVG + "text")]
    assert 'Xian </text><script a="1">▪ <b>0, <b>1, <b>2 +2' in texts
    assert "Inner Mongolia" in texts
    assert not list(drawing.iter(SVG + "script"))


def test_an_empty_and_a_very_large_network_are_drawn() -> None:
    ElementTree.fromstring(svg(Network()))
    nodes = tuple(
        NetworkNode(f"n-{i}", "hub" if i % 50 == 0 else "city", 20 + i % 30, 80 + i / 50)
        for i in range(2_000)
    )
    links = tuple(Link(f"n-{i}", f"n-{i * 7 % 2_000}", 10, 1) for i in range(1, 2_000))
    drawing = ElementTree.fromstring(svg(Network(nodes, links)))
    assert len(of_class(drawing, "circle", "city")) == 1_960 + 1


def test_nodes_of_one_place_are_drawn_apart_and_inside_the_frame() -> None:
    frame = Frame(0, 0, 500, 500)
    nodes = [NetworkNode(f"n{i}", "city", 30, 120) for i in range(12)]
    points = place(nodes, [], frame)
    for one, other in combinations(points.values(), 2):
        assert abs(one[0] - other[0]) + abs(one[1] - other[1]) > 20
    assert all(0 <= x <= 500 and 0 <= y <= 500 for x, y in points.values())


def test_a_link_bends_around_a_node_in_its_way() -> None:
    points = {"a": (0.0, 0.0), "b": (400.0, 0.0), "between": (200.0, 0.0)}
    radii = dict.fromkeys(points, 5.0)
    straight = route(Link("a", "b", 1, 1), {"a": points["a"], "b": points["b"]}, radii)
    assert straight.at(0.5) == (200.0, 0.0)
    bent = route(Link("a", "b", 1, 1), points, radii)
    assert abs(bent.at(0.5)[1]) > 15


def test_a_label_goes_where_it_hides_least() -> None:
    frame = Box(0, 0, 400, 200)
    wanted = [Wanted("one", (100, 100), 5, 80, 14), Wanted("two", (300, 100), 5, 80, 14)]
    free = arrange(wanted, [], [], frame)
    assert free["one"].left > 100
    wall = (Curve((120, 0), (120, 100), (120, 200)), 30.0)
    moved = arrange(wanted, [wall], [], frame)
    assert moved["one"].left + moved["one"].width < 120
    assert moved["two"] == free["two"]
