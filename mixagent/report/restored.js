"use strict";
/* The report of repairs: its player. */
(() => {
  const root = document.getElementById("player");
  if (root) listening.hearRepairs(listening.attach(root));
})();
