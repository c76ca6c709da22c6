// A stream of server-sent events that goes on: after a lost connection, a server that was started
// anew, a night of sleep. A hidden page lets go of it after a while, and misses nothing by that.

const HIDDEN_MS = 30_000;
const SILENT_MS = 50_000; // the server gives a sign of life each 15 s
const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 30_000;

/**
 * Keeps a stream open.
 * @param {string} address where the stream is
 * @param {Object<string, function(any): void>} handlers what to do with each kind of event
 * @param {function(string): void} show told "live", "reconnecting" or "paused"
 */
export function connect(address, handlers, show) {
  let source = null;
  let lastId = "";
  let pause = FIRST_PAUSE_MS;
  let waiting = 0;
  let leaving = 0;
  let watch = 0;

  function heard(event) {
    if (event.lastEventId) lastId = event.lastEventId;
    pause = FIRST_PAUSE_MS;
    clearTimeout(watch);
    watch = setTimeout(again, SILENT_MS);
    show("live");
  }

  function open() {
    close();
    const url = new URL(address, location.href);
    if (lastId) url.searchParams.set("after", lastId);
    source = new EventSource(url);
    for (const [kind, handle] of Object.entries(handlers)) {
      source.addEventListener(kind, (event) => {
        heard(event);
        handle(JSON.parse(event.data));
      });
    }
    source.addEventListener("alive", heard);
    source.onerror = () => {
      show("reconnecting");
      // The browser tries again by itself after a lost connection, but not after a refusal.
      if (source.readyState === EventSource.CLOSED) again();
    };
    watch = setTimeout(again, SILENT_MS);
  }

  function again() {
    close();
    show("reconnecting");
    waiting = setTimeout(open, pause);
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }

  function close() {
    clearTimeout(waiting);
    clearTimeout(watch);
    if (source) source.close();
    source = null;
  }

  function look() {
    clearTimeout(leaving);
    if (document.hidden) {
      leaving = setTimeout(() => {
        close();
        show("paused");
      }, HIDDEN_MS);
    } else if (!source) {
      open();
    }
  }

  document.addEventListener("visibilitychange", look);
  addEventListener("pageshow", look);
  addEventListener("pagehide", close);
  look();
}

const WORDS = { live: "live", reconnecting: "reconnecting …", paused: "paused" };

/** Returns a function that shows the state of a connection in an element. */
export function stateIn(element) {
  return (state) => {
    if (element.dataset.state === state) return;
    element.dataset.state = state;
    element.textContent = WORDS[state];
    document.body.classList.toggle("cut-off", state === "reconnecting");
  };
}
