// The reading part of a sample card: every text is set as textContent, never as HTML.
export default function ({ parentElement, data }) {
  const body = parentElement.querySelector(".card");
  const make = (name, text, tag = "div") => Object.assign(document.createElement(tag), { className: name, textContent: text });
  const draw = (open) => {
    body.replaceChildren();
    const head = make("head", "");
    const dot = make("dot", "", "span");
    dot.style.background = data.color;
    head.append(dot, make("task", data.task, "span"), ...data.facts.map((fact) => make(`fact ${fact.tone ?? ""}`, fact.text, "span")));
    body.append(head);
    for (const part of data.parts) {
      if (part.name) body.append(make("part", part.name));
      const block = make(`text ${part.style ?? ""}`, "");
      if (part.words) {
        part.words.forEach(([word, differs], at) => block.append(...(at ? [" "] : []), differs ? make("", word, "mark") : word));
      } else block.textContent = (!open && part.text.length > data.short ? part.text.slice(0, data.short) + "…" : part.text) || "(empty)";
      body.append(block);
      if (!part.words && !open && part.text.length > data.short) {
        const more = make("more", `Show all ${part.total.toLocaleString("en")} characters`, "button");
        more.onclick = () => draw(true);
        body.append(more);
      } else if (!part.words && open && part.total > part.text.length) {
        body.append(make("part", `cut at ${part.text.length.toLocaleString("en")} of ${part.total.toLocaleString("en")} characters`));
      }
    }
  };
  draw(false);
}
