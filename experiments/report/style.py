"""Colours and type of figures and page, light and dark.

Series take the palette of Okabe and Ito (Color Universal Design, 2008), which people with any colour vision tell apart,
without its yellow, which is too pale on white; each also has its own marker. Plain classes, no CSS variables: figures
are read by programs that do not know those.
"""

COLOURS = 6

_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b57a00")
_DARK = ("#4aa8e0", "#f07c2e", "#2fc79b", "#e39bc4", "#8fd0f5", "#e6a817")


def _series(colours: tuple[str, ...]) -> str:
    return "".join(f".c{index}{{stroke:{colour};fill:{colour}}}" for index, colour in enumerate(colours))


FIGURE = f"""
.figure{{font:12px system-ui,sans-serif}}.figure text{{fill:#222;stroke:none}}.figure .small{{font-size:11px}}
.figure .title{{font-weight:600;font-size:13px}}
.frame{{fill:none;stroke:#888}}.grid{{stroke:#ddd}}.level{{stroke:#444;stroke-dasharray:5 3;fill:none}}
.level.b{{stroke-dasharray:1 3}}.level.c{{stroke-dasharray:8 3 2 3}}.band{{fill:#888;fill-opacity:.15;stroke:none}}
.single{{stroke:#222;fill:#222}}
{_series(_LIGHT)}
.line{{fill:none;stroke-width:1.5}}.error{{stroke-width:1;stroke-opacity:.6}}
.hollow{{fill:#fff;stroke-width:1.3}}.front{{fill:none;stroke:#222;stroke-width:1.2;stroke-opacity:.75}}
.lead{{fill:none;stroke:#888;stroke-width:.7}}.figure .tag{{stroke:#fff;stroke-width:3px;paint-order:stroke}}
@media (prefers-color-scheme: dark){{
.figure text{{fill:#ddd}}.frame{{stroke:#777}}.grid{{stroke:#383838}}
.level{{stroke:#bbb}}.single{{stroke:#ddd;fill:#ddd}}
{_series(_DARK)}
.line{{fill:none}}.hollow{{fill:#161616}}.front{{stroke:#ddd}}.figure .tag{{stroke:#161616}}
}}
"""

PAGE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:76rem;margin:0 auto;padding:1rem;background:#fff;color:#222}
body{overflow-wrap:anywhere}
h1{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid #ccc;line-height:1.3}
nav ul{columns:22rem;padding-left:1.2rem;font-size:.9rem}a{color:#0060a0}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,22rem),1fr));gap:.5rem}
.panels svg{width:100%;height:auto}
figure{margin:0 0 1rem;display:flex;flex-direction:column;justify-content:flex-end}
figcaption{font-size:.9rem;line-height:1.4;margin-bottom:.4rem}figcaption span{display:block;color:#555}
details{margin:.4rem 0}summary{cursor:pointer;font-weight:600}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;overflow-wrap:normal;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;text-align:right;white-space:nowrap;border-bottom:1px solid #ddd}
th{vertical-align:bottom;white-space:normal}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:#fff}
.words td{white-space:normal;text-align:left;vertical-align:top}.words td:last-child{min-width:22rem}
.words th{text-align:left}.note{color:#555}code{font-size:.9em}
@media (max-width: 40rem){
.words thead{display:none}.words tr{display:block;padding:.5rem 0;border-bottom:1px solid #888}
.words td,.words td:first-child{display:inline-block;position:static;border:0;padding:0 .8rem 0 0}
.words td:last-child{display:block;min-width:0;padding:0}.words td:first-child{font-weight:600}
}
@media (prefers-color-scheme: dark){
body,th:first-child,td:first-child{background:#161616;color:#ddd}
h2{border-color:#444}th,td{border-color:#333}.note,figcaption span{color:#aaa}a{color:#6cb8ec}
}
"""
