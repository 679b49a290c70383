// The rating deck. Keys act on what is in the browser and never wait for the server: every press makes an event with a uid,
// kept in localStorage until the server says that it is on disk. Sending an event twice changes nothing.
// Texts arrive in `data` and are shown through textContent only.

const WORDS = { degenerate: "degenerate", copy: "copy of a real text" };
const RESEND_MS = 4000;
const SHOWN = 1500;

export default function (component) {
  const root = component.parentElement;
  const deck = (root.workbenchDeck ??= new Deck(root));
  deck.receive(component);
  deck.attach();
  return () => deck.detach();
}

class Deck {
  constructor(root) {
    this.root = root;
    this.items = new Map(); // number -> what is shown of it
    this.stored = []; // events on disk, in order of time
    this.pending = new Map(); // uid -> event not yet known to be on disk
    this.made = new Map(); // uid -> every event of this page, for the download
    this.at = null;
    this.shownAt = performance.now();
    this.attempt = 0;
    this.inFlight = null;
    this.lastTime = 0;
    this.onKey = (event) => this.key(event);
    this.onFocus = () => this.chip();
    this.find = (name) => root.querySelector(`[data-part="${name}"]`);
    this.tab = sessionItem("workbench-deck-tab", newUid);
    this.wire();
  }

  attach() {
    document.addEventListener("keydown", this.onKey, true);
    for (const name of ["focusin", "focusout"]) document.addEventListener(name, this.onFocus, true);
    for (const name of ["focus", "blur"]) window.addEventListener(name, this.onFocus);
    clearInterval(this.timer);
    this.timer = setInterval(() => this.resend(), RESEND_MS / 4);
  }

  detach() {
    document.removeEventListener("keydown", this.onKey, true);
    for (const name of ["focusin", "focusout"]) document.removeEventListener(name, this.onFocus, true);
    for (const name of ["focus", "blur"]) window.removeEventListener(name, this.onFocus);
    clearInterval(this.timer);
  }

  // ---- what the server says ------------------------------------------------------------------------------------------

  receive({ data, setStateValue }) {
    const first = this.data === undefined || this.data.deck !== data.deck;
    if (first) {
      this.items.clear();
      this.pending.clear();
      this.made.clear();
      this.at = null;
    }
    this.data = data;
    this.send = (value) => setStateValue("outbox", value);
    this.prefix = `workbench-deck/${data.deck}/`;
    for (const item of data.items) this.items.set(item.i, item);
    this.stored = data.events;
    for (const uid of data.acked) this.settle(uid);
    const known = new Set(data.events.map((event) => event.uid));
    for (const uid of [...this.pending.keys()]) if (known.has(uid)) this.settle(uid);
    if (first) this.recover(known);
    if (data.attempt >= this.attempt) this.inFlight = null;
    this.fold();
    if (this.at === null) this.show(this.firstOpen(0));
    else this.render();
    if (!data.fault) this.flush();
    if (first) this.takeFocus();
  }

  // After the name was entered the focus is in its field, where keys type and Space would press whatever Tab comes to next.
  takeFocus() {
    const active = document.activeElement;
    if (!active || active === document.body || active.closest(".st-key-rater")) this.root.querySelector(".deck").focus({ preventScroll: true });
  }

  settle(uid) {
    this.pending.delete(uid);
    forget(this.prefix + uid);
  }

  recover(known) {
    // Events of an earlier visit that never reached the disk.
    for (const [key, event] of remembered(this.prefix)) {
      if (known.has(event.uid)) forget(key);
      else this.pending.set(event.uid, event);
    }
    this.pending = new Map([...this.pending].sort((a, b) => a[1].t - b[1].t));
    for (const [uid, event] of this.pending) this.made.set(uid, event);
  }

  // What stands: stored events and those on the way, less the ones taken back.
  fold() {
    const events = [...this.stored, ...this.pending.values()];
    const undone = new Set(events.filter((event) => event.kind === "undo").map((event) => event.undoes));
    this.answers = new Map();
    this.history = [];
    for (const event of events) {
      if (event.kind === "undo" || undone.has(event.uid)) continue;
      const answer = this.answers.get(event.i) ?? { flags: new Set(), note: "" };
      this.answers.set(event.i, answer);
      if (event.kind === "rate" || event.kind === "skip") {
        Object.assign(answer, { kind: event.kind, value: event.value });
        this.history.push(event);
      } else if (event.kind === "flag") {
        if (event.on === false) answer.flags.delete(event.value);
        else answer.flags.add(event.value);
      } else if (event.kind === "note") answer.note = event.value ?? "";
    }
  }

  isDone(number) {
    return this.answers.get(number)?.kind !== undefined;
  }

  firstOpen(from) {
    const total = this.data.total;
    for (let step = 0; step < total; step += 1) {
      const number = (from + step) % total;
      if (!this.isDone(number)) return number;
    }
    return total;
  }

  // ---- what the person does ------------------------------------------------------------------------------------------

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !this.root.isConnected && !this.root.host?.isConnected) return;
    const target = event.composedPath()[0];
    if (isText(target) || document.querySelector('[role="dialog"]')) return;
    const act = this.action(event.key);
    if (!act) return;
    if (event.key === " " && isControl(target) && target.matches(":focus-visible")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!event.repeat) act();
  }

  action(key) {
    if (key >= "1" && key <= "5" && key.length === 1) return () => this.rate(Number(key));
    const actions = {
      " ": () => this.skip(),
      Backspace: () => this.undo(),
      u: () => this.undo(),
      f: () => this.flag("degenerate"),
      g: () => this.flag("copy"),
      n: () => this.openNote(),
      "?": () => this.toggleHelp(),
    };
    return actions[key.length === 1 ? key.toLowerCase() : key];
  }

  get blocked() {
    return Boolean(this.data.fault) || !this.items.has(this.at);
  }

  rate(value) {
    if (this.blocked) return;
    this.emit({ kind: "rate", value });
    this.advance();
  }

  skip() {
    if (this.blocked) return;
    this.emit({ kind: "skip", value: null });
    this.advance();
  }

  undo() {
    if (this.data.fault) return;
    const last = this.history.at(-1);
    if (!last) return;
    this.emit({ kind: "undo", value: null, undoes: last.uid }, last.i);
    this.show(last.i);
  }

  flag(name) {
    if (this.blocked) return;
    const on = !(this.answers.get(this.at)?.flags.has(name) ?? false);
    this.emit({ kind: "flag", value: name, on });
    this.render();
  }

  openNote() {
    if (this.blocked) return;
    const box = this.find("note");
    box.hidden = false;
    box.value = this.answers.get(this.at)?.note ?? "";
    box.focus();
  }

  closeNote(save) {
    const box = this.find("note");
    if (box.hidden) return;
    const text = box.value.trim();
    if (save && !this.blocked && text !== (this.answers.get(this.at)?.note ?? "")) this.emit({ kind: "note", value: text.slice(0, 2000) });
    box.hidden = true;
    box.blur();
    this.render();
  }

  emit(fields, number = this.at) {
    // Strictly increasing times: the order of the presses is the order of the events.
    this.lastTime = Math.max((performance.timeOrigin + performance.now()) / 1000, this.lastTime + 2e-6);
    const ms = Math.round(performance.now() - this.shownAt);
    const event = { uid: newUid(), i: number, t: this.lastTime, ms, tab: this.tab, ...fields };
    this.pending.set(event.uid, event);
    this.made.set(event.uid, event);
    remember(this.prefix + event.uid, event);
    this.fold();
    this.flush();
  }

  advance() {
    this.show(this.firstOpen(this.at + 1));
  }

  show(number) {
    this.at = number;
    this.shownAt = performance.now();
    this.open = false;
    this.find("note").hidden = true;
    this.render();
    this.find("texts").scrollTop = 0;
  }

  // ---- saving ----------------------------------------------------------------------------------------------------------

  flush() {
    if (this.inFlight !== null || this.pending.size === 0 || this.data.fault) return;
    this.sendAll();
  }

  sendAll() {
    this.attempt = Math.max(this.attempt, this.data.attempt ?? 0) + 1;
    this.inFlight = performance.now();
    this.send({ n: this.attempt, deck: this.data.deck, events: [...this.pending.values()] });
    this.status();
  }

  resend() {
    if (this.inFlight !== null && performance.now() - this.inFlight > RESEND_MS && this.pending.size > 0) this.sendAll();
    this.chip();
  }

  download() {
    const earlier = this.stored.filter((event) => !this.made.has(event.uid));
    const lines = [...earlier, ...this.made.values()].map((event) => JSON.stringify({ ...event, deck: this.data.deck }));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "application/jsonl" }));
    link.download = "my-answers.jsonl";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // ---- drawing ---------------------------------------------------------------------------------------------------------

  wire() {
    const on = (name, act) => (this.find(name).onclick = (event) => (event.currentTarget.blur(), act()));
    on("skip", () => this.skip());
    on("undo", () => this.undo());
    on("degenerate", () => this.flag("degenerate"));
    on("copy", () => this.flag("copy"));
    on("add-note", () => this.openNote());
    on("help", () => this.toggleHelp());
    on("download", () => this.download());
    on("again", () => this.sendAll());
    on("keys", () => document.activeElement?.blur());
    this.find("note").onkeydown = (event) => {
      if (event.key === "Enter") this.closeNote(true);
      else if (event.key === "Escape") this.closeNote(false);
      event.stopPropagation();
    };
    this.find("note").onblur = () => this.closeNote(true);
  }

  toggleHelp() {
    this.find("legend").hidden = !this.find("legend").hidden;
  }

  render() {
    const { data } = this;
    const item = this.items.get(this.at);
    const finished = this.at >= data.total;
    const answer = this.answers.get(this.at);
    const done = [...this.answers.values()].filter((one) => one.kind !== undefined).length;
    this.find("bar").style.width = `${(100 * done) / Math.max(data.total, 1)}%`;
    this.find("count").textContent = `${done} of ${data.total}`;
    this.find("question").textContent = data.question;
    this.find("task").textContent = item?.task ? `Task: ${item.task}` : "";
    this.find("about").textContent = item?.about ?? "";
    const texts = this.find("texts");
    if (finished) texts.replaceChildren(line("ending", `All ${data.total} texts are answered. Thank you.`));
    else if (!item) texts.replaceChildren(line("ending", "Loading the next texts…"));
    else texts.replaceChildren(...item.sides.map((parts, side) => this.side(parts, item.sides.length > 1 ? ["left", "right"][side] : "")));
    texts.dataset.item = finished || !item ? "" : this.at;
    texts.classList.toggle("pair", Boolean(item && item.sides.length > 1));
    this.scale(answer, finished || !item);
    for (const name of Object.keys(WORDS)) this.find(name).setAttribute("aria-pressed", answer?.flags.has(name) ?? false);
    this.find("note-shown").textContent = answer?.note ? `Note: ${answer.note}` : "";
    this.find("last").replaceChildren(...this.lastAnswers());
    this.status();
    this.chip();
  }

  side(parts, name) {
    const block = document.createElement("div");
    block.className = "side";
    if (name) block.append(line("part", name));
    for (const part of parts) {
      if (part.name !== "text") block.append(line("part", part.name));
      const cut = !this.open && part.text.length > SHOWN;
      block.append(line(`text ${part.name}`, (cut ? `${part.text.slice(0, SHOWN)}…` : part.text) || "(empty)"));
      if (cut) {
        const more = line("more", `Show all ${part.total.toLocaleString("en")} characters`, "button");
        more.onclick = () => ((this.open = true), this.render());
        block.append(more);
      } else if (!part.complete) block.append(line("part", `cut at ${part.text.length.toLocaleString("en")} of ${part.total.toLocaleString("en")} characters`));
    }
    return block;
  }

  scale(answer, off) {
    const buttons = this.data.anchors.map((word, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "level";
      button.disabled = off || Boolean(this.data.fault);
      button.setAttribute("aria-pressed", answer?.kind === "rate" && answer.value === place + 1);
      button.append(line("cap", String(place + 1), "kbd"), line("word", word, "span"));
      button.onclick = () => (button.blur(), this.rate(place + 1));
      return button;
    });
    this.find("scale").replaceChildren(...buttons);
  }

  lastAnswers() {
    const latest = new Map();
    for (const event of this.history) latest.delete(event.i), latest.set(event.i, event);
    return [...latest.values()].slice(-5).reverse().map((event) => {
      const button = line("answer", `${event.i + 1}: ${event.kind === "skip" ? "skipped" : event.value}`, "button");
      button.type = "button";
      button.title = "Go back to this text and change the answer";
      button.onclick = () => (button.blur(), this.show(event.i));
      return button;
    });
  }

  status() {
    const { data } = this;
    const waiting = this.pending.size;
    const stored = new Set(this.stored.filter((event) => event.kind === "rate" || event.kind === "skip").map((event) => event.i));
    this.find("saved").textContent = `saved ${stored.size}${waiting ? ` · ${waiting} on the way` : ""}`;
    this.find("saved").dataset.waiting = waiting;
    this.find("fault").hidden = !data.fault;
    this.find("fault-text").textContent = data.fault ? `${data.fault} Your ${waiting} unsaved answer${waiting === 1 ? " stays" : "s stay"} on this page; keys are off.` : "";
    this.find("notice").textContent = data.notice ?? "";
  }

  chip() {
    const chip = this.find("keys");
    const text = isText(deepFocus());
    const away = !document.hasFocus();
    const off = Boolean(this.data?.fault) || text || away;
    chip.dataset.on = String(!off);
    chip.textContent = !off ? "keys on" : text ? "keys off: typing" : away ? "keys off: click the page" : "keys off";
  }
}

function line(name, text, tag = "div") {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return element;
}

function isText(element) {
  if (!(element instanceof Element)) return false;
  if (element.isContentEditable || /^(TEXTAREA|SELECT)$/.test(element.tagName)) return true;
  return element.tagName === "INPUT" && !/^(button|checkbox|radio|range|submit|reset|file|color)$/.test(element.type);
}

function isControl(element) {
  return element instanceof Element && Boolean(element.closest('button, a, summary, input, [role="button"], [role="radio"], [role="checkbox"], [role="tab"], [role="option"]'));
}

function deepFocus() {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  return element;
}

function newUid() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function sessionItem(key, make) {
  try {
    const value = sessionStorage.getItem(key) ?? make();
    sessionStorage.setItem(key, value);
    return value;
  } catch {
    return make();
  }
}

function remember(key, event) {
  try {
    localStorage.setItem(key, JSON.stringify(event));
  } catch {
    // A full or forbidden store: the event is still in the page and on its way.
  }
}

function forget(key) {
  try {
    localStorage.removeItem(key);
  } catch {
    // as above
  }
}

function remembered(prefix) {
  const found = [];
  try {
    for (let place = 0; place < localStorage.length; place += 1) {
      const key = localStorage.key(place);
      if (key.startsWith(prefix)) found.push([key, JSON.parse(localStorage.getItem(key))]);
    }
  } catch {
    // as above
  }
  return found;
}
