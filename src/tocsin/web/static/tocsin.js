"use strict";
// What the pages do by themselves: clocks that tick, parts that follow what happens, forms that keep what was written.
(function () {
  var main = document.getElementById("main");

  // Time. The server's clock, carried on between two loads; the demonstration's runs faster than ours.
  var meta = document.querySelector("meta[name=tocsin-now]");
  var speed = meta ? Number(meta.dataset.speed) || 1 : 1;
  var heard = { server: meta ? Number(meta.content) : Date.now(), here: Date.now() };
  function now() { return heard.server + (Date.now() - heard.here) * speed; }
  function two(number) { return (number < 10 ? "0" : "") + number; }
  function countdown(ms) {
    var s = Math.floor(Math.abs(ms) / 1000);
    if (s < 60) return s + " s";
    if (s < 3600) return Math.floor(s / 60) + " min " + two(s % 60) + " s";
    if (s < 86400) return Math.floor(s / 3600) + " h " + two(Math.floor(s % 3600 / 60)) + " min";
    return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
  }
  function say(element, text) { if (element.textContent !== text) element.textContent = text; }
  function tick() {
    var present = now();
    document.querySelectorAll("[data-since]").forEach(function (one) { say(one, countdown(present - Number(one.dataset.since))); });
    document.querySelectorAll("[data-due]").forEach(function (one) {
      var due = Number(one.dataset.due), left = due - present, length = Math.max(1, due - Number(one.dataset.start || due));
      var state = left < 0 ? "overdue" : left * 5 <= length ? "soon" : "running";
      say(one, left < 0 ? "overdue by " + countdown(left) : countdown(left) + " left");
      [one, one.closest("[data-clock]")].forEach(function (shown) {
        if (!shown || shown.classList.contains(state)) return;
        shown.classList.remove("running", "soon", "overdue");
        shown.classList.add(state);
      });
    });
  }
  setInterval(tick, 1000);
  tick();

  // On a narrow screen the tabs of an incident scroll: the current one is never out of sight, and the page itself stays where it is.
  function showTab() {
    var tab = document.querySelector(".tabs a[aria-current]"), row = tab && tab.parentNode;
    if (!tab) return;
    var from = row.getBoundingClientRect(), at = tab.getBoundingClientRect();
    if (at.right > from.right) row.scrollLeft += at.right - from.right;
    else if (at.left < from.left) row.scrollLeft += at.left - from.left;
  }
  showTab();

  // What is being written stays: sections that are open, fields that were changed, where the cursor stands.
  var FIELDS = "input:not([type=hidden]):not([type=submit]), textarea, select";
  function keyOf(form) {
    var hidden = Array.prototype.map.call(form.querySelectorAll("input[type=hidden]:not([name=csrf])"), function (one) { return one.name + "=" + one.value; });
    return (form.getAttribute("action") || "").split("?")[0] + " " + hidden.join(" ");
  }
  function changed(field) {
    if (field.tagName === "SELECT") return Array.prototype.some.call(field.options, function (one) { return one.selected !== one.defaultSelected; }) && field.dataset.touched;
    if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
    return field.value !== field.defaultValue;
  }
  document.addEventListener("change", function (event) { if (event.target.tagName === "SELECT") event.target.dataset.touched = "yes"; });
  document.addEventListener("reset", function (event) { event.target.querySelectorAll("[data-touched]").forEach(function (one) { delete one.dataset.touched; }); });
  function keep(part, except) {
    var kept = { open: {}, fields: {}, at: null }, focused = document.activeElement;
    part.querySelectorAll("details[id]").forEach(function (one) { kept.open[one.id] = one.open; });
    part.querySelectorAll("form").forEach(function (form) {
      var refused = form !== except && form.querySelector("[role=alert]"); // what it was filled with again is as good as written
      form.querySelectorAll(FIELDS).forEach(function (field, number) {
        var place = keyOf(form) + "#" + number;
        if (changed(field) || refused) {
          kept.fields[place] = field.tagName === "SELECT" ? Array.prototype.map.call(field.selectedOptions, function (one) { return one.value; })
            : field.type === "checkbox" || field.type === "radio" ? field.checked : field.value;
        }
        if (field === focused) kept.at = place;
      });
    });
    if (part.contains(focused)) {
      var again = focused.id ? "#" + CSS.escape(focused.id) : focused.getAttribute("href") ? 'a[href="' + CSS.escape(focused.getAttribute("href")) + '"]' : "";
      var inside = focused.closest("details[id]");
      kept.focus = again || (focused.tagName === "SUMMARY" && inside ? "#" + CSS.escape(inside.id) + " > summary" : "");
    }
    return kept;
  }
  function put(kept, part) {
    part.querySelectorAll("details[id]").forEach(function (one) {
      if (one.id in kept.open) one.open = kept.open[one.id] || !!one.querySelector("[role=alert]");
    });
    part.querySelectorAll("form").forEach(function (form) {
      form.querySelectorAll(FIELDS).forEach(function (field, number) {
        var place = keyOf(form) + "#" + number, value = kept.fields[place];
        if (value !== undefined) {
          if (field.tagName === "SELECT") {
            Array.prototype.forEach.call(field.options, function (one) { one.selected = value.indexOf(one.value) >= 0; });
            field.dataset.touched = "yes";
          } else if (typeof value === "boolean") field.checked = value;
          else field.value = value;
        }
        if (kept.at === place) field.focus();
      });
    });
    var stood = kept.focus && document.activeElement === document.body && document.querySelector(kept.focus);
    if (stood) stood.focus({ preventScroll: true });
  }

  // Parts of a page are put in only where they differ from what the server said last; clocks do not count.
  var known = {}, waiting = {}, kept = {};
  function essence(part) {
    var copy = part.cloneNode(true);
    copy.querySelectorAll("[data-since], [data-due]").forEach(function (one) { one.textContent = ""; one.className = ""; });
    copy.querySelectorAll("[data-clock]").forEach(function (one) { one.className = ""; });
    return copy.outerHTML.replace(/\s+/g, " ");
  }
  function remember() {
    if (main) main.querySelectorAll("[id]").forEach(function (one) { if (one.matches(parts())) known[one.id] = essence(one); });
  }
  function parts() { return (main.getAttribute("hx-select-oob") || "").split(",").slice(1).join(",") || "#page"; }
  function isWritten(part) {
    var focused = document.activeElement;
    return part.contains(focused) && focused.matches("textarea, select, input:not([type=checkbox]):not([type=radio])");
  }
  if (main && main.hasAttribute("hx-get")) {
    remember();
    var sending = null, home = "", again = false;
    document.body.addEventListener("htmx:beforeOnLoad", function (event) {
      var said = Number(event.detail.xhr.getResponseHeader("x-tocsin-now"));
      if (said) heard = { server: said, here: Date.now() };
    });
    document.body.addEventListener("htmx:beforeSwap", function (event) {
      var xhr = event.detail.xhr, form = event.detail.requestConfig.elt, fine = xhr.status < 400;
      var there = xhr.responseURL && new URL(xhr.responseURL);
      sending = form.tagName === "FORM" ? form : null;
      if (sending && !document.contains(sending)) {
        // news came in between: what is there now stands for the form that was sent
        sending = Array.prototype.find.call(main.querySelectorAll("form"), function (one) { return keyOf(one) === keyOf(form); }) || sending;
      }
      var around = sending && document.contains(sending) && sending.closest(parts());
      home = around ? around.id : "";
      if (there && there.pathname !== location.pathname && (sending || fine)) {
        var sentence = new DOMParser().parseFromString(xhr.responseText, "text/html").querySelector("#say p");
        if (sentence) sessionStorage.setItem("said", sentence.textContent);
        event.detail.shouldSwap = false;
        location.assign(there.href);
        return;
      }
      if (!sending && !fine) {
        if (xhr.status === 404) location.reload(); // what this page is about is hidden from its reader now
        event.detail.shouldSwap = false;
        return;
      }
      if (sending && fine) sending.reset();
    });
    document.body.addEventListener("htmx:oobBeforeSwap", function (event) {
      var part = event.detail.target, fresh = event.detail.fragment.firstElementChild;
      if (part.id === "say") { if (!sending) event.detail.shouldSwap = false; return; }
      var said = essence(fresh);
      if (known[part.id] === said) { event.detail.shouldSwap = false; return; }
      if (!sending && (isWritten(part) || part.querySelector("form [role=alert]"))) { event.detail.shouldSwap = false; waiting[part.id] = true; return; }
      if (Array.prototype.some.call(part.querySelectorAll("form.htmx-request"), function (one) { return one !== sending; })) {
        event.detail.shouldSwap = false; // an answer is on its way to a form that stands here
        again = true;
        return;
      }
      known[part.id] = said;
      kept[part.id] = keep(part, sending);
    });
    document.body.addEventListener("htmx:afterSettle", settle);
    document.body.addEventListener("htmx:afterRequest", function () { settle(); sending = null; tick(); if (again) { again = false; soon(); } });
    function settle() {
      Object.keys(kept).forEach(function (id) {
        var part = document.getElementById(id);
        if (part) put(kept[id], part);
        delete kept[id];
      });
      showTab();
      var left = sending && document.activeElement === document.body && document.getElementById(home);
      if (left) { left.tabIndex = -1; left.focus({ preventScroll: true }); }
      var wrong = sending && document.querySelector("form [role=alert]");
      if (wrong) wrong.focus();
      if (sending) quieten();
    }
    document.addEventListener("focusout", function () {
      setTimeout(function () { if (Object.keys(waiting).length) { waiting = {}; soon(); } }, 50);
    });
  }

  // What was done is said for a while; what went wrong stays until the next try.
  var quiet = 0, box = document.getElementById("say");
  function quieten() {
    clearTimeout(quiet);
    if (box && box.querySelector("p:not(.alarm)")) quiet = setTimeout(function () { box.textContent = ""; }, 12000);
  }
  if (box && sessionStorage.getItem("said")) {
    box.innerHTML = "<p></p>";
    box.firstChild.textContent = sessionStorage.getItem("said");
    sessionStorage.removeItem("said");
  }
  quieten();

  // News: one stream; a burst of events loads the page once. A page that nobody looks at listens to nothing.
  var stream = null, timer = 0, last = 0, lostAt = 0, lost = document.getElementById("lost"), about = document.body.dataset.live;
  function refresh() {
    timer = 0;
    last = Date.now();
    main.dispatchEvent(new Event("tocsin"));
  }
  function soon() { if (!timer) timer = setTimeout(refresh, Math.max(300, 1500 - (Date.now() - last))); }
  function listen() {
    if (stream || !about) return;
    stream = new EventSource("/api/v1/events");
    stream.addEventListener("fact", function (event) {
      var named = "";
      try { named = JSON.parse(event.data).incident; } catch (error) { named = ""; }
      if (about === "all" || !named || about.split(" ").indexOf(named) >= 0) soon();
    });
    stream.addEventListener("open", function () {
      clearTimeout(lostAt);
      lostAt = 0;
      lost.hidden = true;
      soon(); // what happened between the load of the page and now
    });
    stream.addEventListener("error", function () {
      var over = stream && stream.readyState === 2;
      if (!lostAt) lostAt = setTimeout(function () {
        say(lost, over ? "This page no longer follows what happens. Load it again." : "The connection to the server is lost; trying again. What you see may be old.");
        lost.hidden = false;
      }, over ? 0 : 2500);
    });
  }
  function stop() { if (stream) stream.close(); stream = null; clearTimeout(lostAt); lostAt = 0; }
  if (about) {
    listen();
    window.addEventListener("pagehide", stop);
    window.addEventListener("pageshow", function (event) { if (event.persisted) { listen(); soon(); } });
    document.addEventListener("visibilitychange", function () {
      if (document.hidden) stop();
      else if (!stream) { listen(); soon(); }
    });
  }

  // Keys: j and k walk the rows of a page, slash goes to its search or to that of the incidents, g then n, i or o goes somewhere; Ctrl and Enter send.
  var going = 0;
  document.addEventListener("keydown", function (event) {
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter" && event.target.tagName === "TEXTAREA" && event.target.form) {
      var first = event.target.form.querySelector("button");
      if (first) first.click();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    var to = { n: "/", i: "/incidents", o: "/oncall" }[event.key];
    if (event.key === "g") { going = Date.now(); return; }
    if (to && Date.now() - going < 1500) { location.assign(to); return; }
    if (event.key === "/") {
      var search = document.querySelector("[role=search] input");
      if (search) { event.preventDefault(); search.focus(); }
      else if (document.querySelector(".keys")) { event.preventDefault(); location.assign("/incidents#search"); }
    }
    if (event.key === "w" && document.getElementById("text")) { event.preventDefault(); document.getElementById("text").focus(); }
    if (event.key === "Escape") document.querySelectorAll("details.menu[open]").forEach(function (one) { one.open = false; one.firstElementChild.focus(); });
    if (event.key !== "j" && event.key !== "k") return;
    var rows = Array.prototype.slice.call(document.querySelectorAll("a.row"));
    var at = rows.indexOf(document.activeElement);
    var next = rows[event.key === "j" ? Math.min(at + 1, rows.length - 1) : Math.max(at - 1, 0)];
    if (next) next.focus();
  });

  // Whoever came with a slash goes on writing.
  if (location.hash === "#search" && document.getElementById("search")) document.getElementById("search").focus();

  // A link to a field inside a closed section opens it and goes there.
  document.addEventListener("click", function (event) {
    var link = event.target.closest && event.target.closest('a[href^="#"]');
    var target = link && document.getElementById(link.getAttribute("href").slice(1));
    var section = target && target.closest("details");
    if (section) section.open = true;
    var field = target && (target.matches("textarea, input") ? target : target.querySelector("textarea, select, input:not([type=hidden])"));
    if (field && link.classList.contains("button")) { event.preventDefault(); field.focus(); field.scrollIntoView({ block: "center" }); }
  });
})();
