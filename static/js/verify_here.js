// Offer to verify the receipt of this page. The verifier is loaded when it is asked for:
// most readers of a page do not.

import { untilLoaded } from "./verify_page/loading.js";

const part = document.getElementById("verify-here");
const press = part.querySelector("[data-verify]");
const load = untilLoaded(part, () => import("./verify_page/receipt.js"));

press.addEventListener("click", async () => {
  press.disabled = true;
  const page = await load();
  try {
    await page?.verifyNow();
  } finally {
    press.disabled = false;
  }
});
