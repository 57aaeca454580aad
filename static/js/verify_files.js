// Take files that the reader drops on the page or chooses. The verifier is loaded with
// the first, or before that for a reader who wants to disconnect first.

import { untilLoaded } from "./verify_page/loading.js";

const part = document.getElementById("verify-files");
const drop = part.querySelector("[data-drop]");
const load = untilLoaded(part, () => import("./verify_page/files.js"));

async function take(files) {
  (await load())?.take(files);
}

part.querySelector("#files").addEventListener("change", (event) => take(event.target.files));
part.querySelector("[data-pins]").addEventListener("submit", async (event) => {
  event.preventDefault();
  (await load())?.verifyGiven();
});
part.querySelector("[data-load]").addEventListener("click", async (event) => {
  const place = event.target.parentElement;
  if (await load()) place.textContent = "The verifier is loaded: disconnect if you like.";
});

// A file that is dropped beside the field would be opened in place of the page.
for (const name of ["dragover", "drop"]) {
  document.addEventListener(name, (event) => event.preventDefault());
}
document.addEventListener("dragover", () => drop.classList.add("over"));
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, () => drop.classList.remove("over"));
}
document.addEventListener("drop", (event) => {
  const files = [...event.dataTransfer.files]; // gone once this has returned
  if (files.length > 0) take(files);
});
