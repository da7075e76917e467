// Draws each picture's data with plotly, in the colours that the style sheet has now; without it the drawn ones stay.
(() => {
  if (typeof Plotly === "undefined") return;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 640px)");
  const still = matchMedia("(pointer: coarse)").matches; // a finger scrolls the page, and does not zoom into a picture
  const figures = [...document.querySelectorAll("figure")].filter((figure) => figure.querySelector(".live"));

  const buttons = [["zoom2d", "pan2d", "resetScale2d", "toImage"]];

  const config = { responsive: true, displaylogo: false, modeBarButtons: buttons };

  function look() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const named = (text) => {
      const found = /^var\((--[\w-]+)\)(?: \/ ([\d.]+))?$/.exec(text);
      if (!found) return text;
      if (!found[2]) return colour(found[1]);
      const [r, g, b] = colour(found[1]).match(/\w\w/g).map((digits) => parseInt(digits, 16));
      return `rgba(${r},${g},${b},${found[2]})`;
    };
    const resolve = (value) =>
      typeof value === "string" ? named(value)
      : Array.isArray(value) ? value.map(resolve)
      : value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolve(v)]))
      : value;
    const axis = {
      gridcolor: colour("--grid"), linecolor: colour("--mark"), zeroline: false, automargin: true,
      title: { standoff: 8, font: { size: 13 } }, tickfont: { size: 12 },
    };
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, color: colour("--ink"), size: 13 },
      margin: { l: 8, r: 12, t: 8, b: 8 }, hovermode: "x unified", dragmode: still ? false : "zoom",
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--rule"), font: { color: colour("--ink") } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--quiet"), activecolor: colour("--ink") },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "normal", tracegroupgap: 0 },
    };
    return { resolve, axis, layout };
  }

  function draw() {
    const { resolve, axis, layout } = look();
    for (const figure of figures) {
      const plot = resolve(JSON.parse(figure.querySelector("script").textContent));
      const merged = (given) => ({ ...axis, ...given, title: { ...axis.title, ...given.title } });
      const x = { ...merged(plot.layout.xaxis), nticks: narrow.matches ? 5 : 10 };
      const whole = { ...layout, ...plot.layout, xaxis: x, yaxis: merged(plot.layout.yaxis) };
      const bar = still || narrow.matches || figure.matches(".small") ? false : "hover";
      Plotly.react(figure.querySelector(".live"), plot.data, whole, { ...config, displayModeBar: bar });
    }
  }

  document.documentElement.classList.add("scripted");
  try {
    draw();
    dark.addEventListener("change", draw);
    narrow.addEventListener("change", draw);
  } catch (error) {
    document.documentElement.classList.remove("scripted");
    throw error;
  }
})();
