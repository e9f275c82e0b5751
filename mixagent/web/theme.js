"use strict";
/* The colours that were chosen, before anything is drawn. */
try {
  const chosen = localStorage.getItem("mixagent.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Where nothing may be kept, the system's colours are right.
}
