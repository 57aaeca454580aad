// What every page gains where scripts run: times in the reader's zone, ids to copy.

const DAY = 24 * 60 * 60;
const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const inZone = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
});

function relative(seconds) {
  const distance = Math.abs(seconds);
  if (distance < 60) return ago.format(Math.round(seconds), "second");
  if (distance < 3600) return ago.format(Math.round(seconds / 60), "minute");
  return ago.format(Math.round(seconds / 3600), "hour");
}

function tellTime(element) {
  const moment = new Date(element.dateTime);
  // A date alone is a day in UTC, as is said beside it.
  if (!element.dateTime.includes("T") || Number.isNaN(moment.valueOf())) return;
  const seconds = (moment - Date.now()) / 1000;
  element.textContent =
    Math.abs(seconds) < DAY && !("exact" in element.dataset)
      ? relative(seconds)
      : inZone.format(moment);
}

function offerCopy(element) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${element.dataset.copy}`);
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    try {
      await navigator.clipboard.writeText(element.dataset.copy);
      button.textContent = "Copied";
      button.classList.add("copied");
    } catch {
      button.textContent = "Press Ctrl+C"; // no clipboard over plain http
      getSelection().selectAllChildren(element);
    }
    setTimeout(() => {
      button.textContent = "Copy";
      button.classList.remove("copied");
    }, 2000);
  });
  (element.closest("a") ?? element).after(button); // a link holds no button
}

function enhance() {
  document.querySelectorAll("time[datetime]").forEach(tellTime);
  document.querySelectorAll("[data-copy]").forEach(offerCopy);
}

document.addEventListener("DOMContentLoaded", enhance);
