// The reading part of sample cards: every text is set as textContent, never as HTML.
const make = (name, text, tag = "div") => Object.assign(document.createElement(tag), { className: name, textContent: text });

const draw = (body, card, short, open) => {
  body.replaceChildren();
  const head = make("head", "");
  const dot = make("dot", "", "span");
  dot.style.background = card.color;
  head.append(dot, make("task", card.task, "span"), ...card.facts.map((fact) => make(`fact ${fact.tone ?? ""}`, fact.text, "span")));
  body.append(head);
  for (const part of card.parts) {
    if (part.name) body.append(make("part", part.name));
    const block = make(`text ${part.style ?? ""}`, "");
    if (part.words) {
      part.words.forEach(([word, differs], at) => block.append(...(at ? [" "] : []), differs ? make("", word, "mark") : word));
    } else block.textContent = (!open && part.text.length > short ? part.text.slice(0, short) + "…" : part.text) || "(empty)";
    body.append(block);
    if (!part.words && !open && part.text.length > short) {
      const more = make("more", `Show all ${part.total.toLocaleString("en")} characters`, "button");
      more.onclick = () => draw(body, card, short, true);
      body.append(more);
    } else if (!part.words && open && part.total > part.text.length) {
      body.append(make("part", `cut at ${part.text.length.toLocaleString("en")} of ${part.total.toLocaleString("en")} characters`));
    }
  }
};

export default function ({ parentElement, data }) {
  const place = parentElement.querySelector(".cards");
  place.classList.toggle("framed", data.framed);
  place.replaceChildren(
    ...data.cards.map((card) => {
      const body = make("card", "", "article");
      draw(body, card, data.short, false);
      return body;
    })
  );
}
