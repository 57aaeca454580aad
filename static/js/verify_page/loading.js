// Load the verifier when it is needed first, and say so where it does not load.

const FAILED = "Nothing was verified: the verifier did not load.";

// Show the part of the page that works with scripts. Returns a function that gives the
// module of `load`, or undefined when it does not load now.
export function untilLoaded(part, load) {
  const notice = document.querySelector("[data-without-script]");
  const remembered = part.querySelector("[data-remembered]");
  const get = async () => {
    try {
      const page = await load();
      notice.hidden = true;
      return page;
    } catch (error) {
      notice.hidden = false; // it says what to do in a browser that is too old
      part.querySelector("[data-verdict]").textContent = FAILED;
      console.warn(error);
      return undefined;
    }
  };
  notice.hidden = true;
  remembered.hidden = false;
  (part.querySelector("[data-with-script]") ?? part).hidden = false;
  remembered.addEventListener("toggle", async () => {
    if (remembered.open) (await get())?.showRemembered(part);
  });
  return get;
}
