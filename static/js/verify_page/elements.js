// Elements with text in them: whatever a file says is text here, never markup.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(attribute, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// A verdict: words, with the mark that the style sheet puts before them.
export function mark(kind, words) {
  return element("span", { class: `verdict ${kind}` }, words);
}

export function button(label, act, attributes = {}) {
  const made = element("button", { type: "button", class: "plain", ...attributes }, label);
  made.addEventListener("click", act);
  return made;
}

// An id without its middle; whole in its title.
export function short(text) {
  const shown = text.length <= 28 ? text : `${text.slice(0, 14)}…${text.slice(-8)}`;
  return element("span", { class: "id", title: text }, shown);
}

export function count(number) {
  return number.toLocaleString("en-US");
}

export function clock(moment) {
  const time = { hour: "2-digit", minute: "2-digit" };
  return new Intl.DateTimeFormat("en-GB", time).format(moment);
}

export function day(moment) {
  const time = { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat("en-GB", time).format(moment);
}
