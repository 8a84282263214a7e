"use strict";
// Live pages: one event stream; each change asks the marked parts of the page to load themselves again.
(function () {
  function localTimes(root) {
    root.querySelectorAll("time[datetime]").forEach(function (time) {
      var moment = new Date(time.dateTime);
      if (isNaN(moment)) return;
      time.title = time.dateTime.slice(0, 19) + "Z";
      time.textContent = moment.toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" }) +
        (moment.getTimezoneOffset() ? " (" + time.dateTime.slice(11, 16) + " UTC)" : "");
    });
  }
  localTimes(document);
  document.body.addEventListener("htmx:afterSettle", function () { localTimes(document); });
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
