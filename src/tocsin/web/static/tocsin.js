"use strict";
// Live pages: one event stream; each change asks the marked parts of the page to load themselves again.
(function () {
  function localTimes(root) {
    root.querySelectorAll("time[datetime]").forEach(function (time) {
      var moment = new Date(time.dateTime);
      if (isNaN(moment)) return;
      time.title = time.dateTime.slice(0, 19) + "Z";
      time.textContent = moment.toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short" }) +
        (moment.getTimezoneOffset() ? " (" + time.dateTime.slice(11, 16) + " UTC)" : "");
    });
  }
  localTimes(document);
  document.body.addEventListener("htmx:afterSettle", function () { localTimes(document); });
  // a part in which somebody is writing, or has opened something, waits for the next change
  document.body.addEventListener("htmx:beforeRequest", function (event) {
    var part = event.target, focused = document.activeElement;
    if (!part.contains) return;
    if (part.contains(focused) && /^(INPUT|TEXTAREA|SELECT|BUTTON|SUMMARY)$/.test(focused.tagName)) event.preventDefault();
    else if (part.querySelector("details[open]")) event.preventDefault();
  });
  // whoever stands on a link stays on it when its part is loaded anew
  var stood = "";
  document.body.addEventListener("htmx:beforeSwap", function (event) {
    var focused = document.activeElement;
    if (event.detail.target.contains(focused) && focused.getAttribute("href")) stood = focused.getAttribute("href");
  });
  document.body.addEventListener("htmx:afterSettle", function () {
    var again = stood && document.querySelector('a[href="' + CSS.escape(stood) + '"]');
    if (again && document.activeElement === document.body) again.focus();
    stood = "";
  });
  // j and k walk the rows of a page, slash goes to its search, g then n/i/o goes somewhere
  var going = 0;
  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    var to = { n: "/", i: "/incidents", o: "/oncall" }[event.key];
    if (event.key === "g") { going = Date.now(); return; }
    if (to && Date.now() - going < 1500) { location.assign(to); return; }
    if (event.key === "/") {
      var search = document.querySelector("[role=search] input");
      if (search) { event.preventDefault(); search.focus(); }
    }
    if (event.key !== "j" && event.key !== "k") return;
    var rows = Array.prototype.slice.call(document.querySelectorAll("a.row"));
    var at = rows.indexOf(document.activeElement);
    var next = rows[event.key === "j" ? Math.min(at + 1, rows.length - 1) : Math.max(at - 1, 0)];
    if (next) next.focus();
  });
  if (document.body.dataset.live) {
    var waiting = 0;
    var stream = new EventSource("/api/v1/events");
    var changed = function () {
      clearTimeout(waiting);
      waiting = setTimeout(function () { document.body.dispatchEvent(new Event("tocsin")); }, 150);
    };
    stream.addEventListener("fact", changed);
    stream.addEventListener("open", changed);
    window.addEventListener("pagehide", function () { stream.close(); });
  }
})();
