// The search of the site runs in a worker, which a browser does not start for a page from disk. There an invisible frame
// takes its place: the script of the worker runs in it, and messages go to and fro as events.
"use strict";
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.window = frame.contentWindow;
      this.window.answer = (data) => this.answer(data);
      this.loaded = new Promise((resolve) => (this.window.loaded = resolve));
      const script = "postMessage = (data) => window.answer(data)";
      this.window.document.open();
      this.window.document.write(`<script>${script}</` + `script><script src="${url}" onload="loaded()"></` + "script>");
      this.window.document.close();
    }

    answer(data) {
      const event = new MessageEvent("message", { data });
      this.dispatchEvent(event);
      if (this.onmessage) this.onmessage(event);
    }

    async postMessage(data) {
      await this.loaded;
      this.window.dispatchEvent(new MessageEvent("message", { data }));
    }

    terminate() {
      this.window.frameElement.remove();
    }
  };
  window.Worker = window.IFrameWorker;
}
