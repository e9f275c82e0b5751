/* Pages by the address behind the hash. */
import { Store } from "./store.js";

const read = () => location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);

/** The parts of the address: `["jobs", "job_…"]`; none on the desk. */
export const route = new Store(read());

addEventListener("hashchange", () => {
  document.body.dataset.moved = "yes";
  scrollTo(0, 0);
  route.set(read());
});

export const goTo = (path) => { location.hash = `#/${path}`; };
