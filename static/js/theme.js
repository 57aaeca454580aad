// Light or dark as the reader chose here, before anything is painted. What nobody
// chose is as the system has it, by prefers-color-scheme in variables.css.

const CHOSEN = "lucid.theme";
const chosen = localStorage.getItem(CHOSEN);
if (chosen) {
  document.documentElement.dataset.theme = chosen;
}

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("button[data-theme-switch]")) {
    const label = () => {
      button.textContent = isDark() ? "Light" : "Dark";
    };
    button.hidden = false;
    label();
    button.addEventListener("click", () => {
      const theme = isDark() ? "light" : "dark";
      document.documentElement.dataset.theme = theme;
      localStorage.setItem(CHOSEN, theme);
      document.dispatchEvent(new CustomEvent("lucid:theme"));
      label();
    });
  }
});
