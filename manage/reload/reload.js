// Loads the page again when the site is another one. It listens only while somebody
// looks: a browser has six connections for a host, and each open page would keep one.
(() => {
  "use strict";
  const mine = new URL(document.currentScript.src).search.slice(1);
  let events = null;

  // A page from the browser's cache may be older than the site: once is enough then.
  const again = (id) => {
    try {
      if (sessionStorage.getItem("quintet-reload") === id) return;
      sessionStorage.setItem("quintet-reload", id);
    } catch {
      return;
    }
    close();
    location.reload();
  };
  const close = () => {
    if (events) events.close();
    events = null;
  };
  const open = () => {
    if (events || document.hidden) return;
    events = new EventSource("/__quintet__/reload");
    events.addEventListener("site", (event) => {
      if (event.data !== mine) again(event.data);
    });
  };

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
})();
