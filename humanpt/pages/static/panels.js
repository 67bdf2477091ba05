// The figures beside the pictures: time, who is in view, the camera.

const SCALES = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 60000]; // milliseconds that fill a bar
const find = (id) => document.getElementById(id);

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(name, parent, className = "") {
  const element = document.createElement(name);
  element.className = className;
  parent.append(element);
  return element;
}

function milliseconds(value) {
  return value < 9.95 ? value.toFixed(1) : value.toFixed(0);
}

// Rows by key, kept from one view to the next and in the order of the keys.
class Rows {
  constructor(list, build) {
    this.list = list;
    this.build = build;
    this.rows = new Map();
  }

  show(items, key, fill) {
    const wanted = new Set(items.map(key));
    for (const [name, row] of this.rows) {
      if (!wanted.has(name)) {
        row.element.remove();
        this.rows.delete(name);
      }
    }
    items.forEach((item, place) => {
      let row = this.rows.get(key(item));
      if (!row) {
        const element = document.createElement("li");
        row = { element, ...this.build(element) };
        this.rows.set(key(item), row);
      }
      if (this.list.children[place] !== row.element) this.list.insertBefore(row.element, this.list.children[place] ?? null);
      fill(row, item);
    });
  }
}

export class Panels {
  constructor() {
    this.stages = new Rows(find("stages"), (row) => {
      const name = make("span", row);
      const bar = make("div", row, "bar");
      return { name, median: make("i", bar), now: make("u", bar), told: make("span", row) };
    });
    this.subjects = new Rows(find("subjects"), (row) => {
      const colour = make("i", row);
      const name = make("span", row);
      const far = make("small", row);
      const bar = make("div", row, "bar");
      return { colour, name, far, bar, score: make("b", bar) };
    });
  }

  show(head) {
    this.showTimes(head.stages, head.rate);
    this.showSubjects(head.subjects);
    const focal = find("focal");
    write(focal, head.focal.line);
    focal.classList.toggle("assumed", head.focal.from === "assumed");
    write(find("size"), `${head.size[0]} × ${head.size[1]}`);
    write(find("number"), head.name ? `${head.number} · ${head.name}` : `${head.number}`);
    write(find("timestamp"), `${head.timestamp.toFixed(2)} s`);
    write(find("dropped"), `${head.dropped}`);
    write(find("detected"), head.detected ? "looked at this picture" : "following");
  }

  showTimes(stages, rate) {
    const parts = stages.filter(({ stage }) => stage !== "total");
    const total = stages.find(({ stage }) => stage === "total")?.p50 ?? parts.reduce((sum, { p50 }) => sum + p50, 0);
    write(find("total"), parts.length ? milliseconds(total) : "–");
    write(find("rate"), rate ? rate.toFixed(1) : "–");
    const most = Math.max(0, ...parts.map(({ p50 }) => p50));
    const full = SCALES.find((scale) => scale >= most) ?? SCALES.at(-1);
    write(find("scale"), parts.length ? `bars: p50 of the last seconds, full at ${full} ms · tick: now` : "");
    this.stages.show(parts, ({ stage }) => stage, (row, { stage, p50, now }) => {
      write(row.name, stage);
      write(row.told, `${milliseconds(p50)} ms`);
      row.median.style.width = `${Math.min(100, (100 * p50) / full)}%`;
      row.now.style.left = `calc(${Math.min(100, (100 * (now ?? 0)) / full)}% - 1px)`;
      row.now.hidden = now === null;
    });
  }

  showSubjects(subjects) {
    find("nobody").hidden = subjects.length > 0;
    this.subjects.show(subjects, ({ identity }) => identity, (row, subject) => {
      row.colour.style.background = subject.colour;
      write(row.name, subject.told);
      write(row.far, subject.metres === null ? "" : `${subject.metres.toFixed(2)} m away`);
      row.score.style.width = `${100 * (subject.score ?? 0)}%`;
      row.bar.title = `score ${(subject.score ?? 0).toFixed(2)}`;
    });
  }
}
