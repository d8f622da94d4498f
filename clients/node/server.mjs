// A server for one file of tests: the program in FACTUM_BINARY, over a directory of its own below FACTUM_DIRECTORY.
//
// It can be stopped or killed, and started again on the same port and directory. It does not outlive this process.

import { spawn } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const binary = process.env.FACTUM_BINARY;
if (!binary) throw new Error("FACTUM_BINARY names no program; run `cargo xtask clients`");

/** Starts a server and waits until it answers; `arguments_` say how it is secured. */
export async function serve(arguments_ = ["--insecure"]) {
  const server = new Server(arguments_);
  server.directory = await mkdtemp(join(process.env.FACTUM_DIRECTORY ?? tmpdir(), "store-"));
  server.port = await freePort();
  await server.start();
  return server;
}

class Server {
  constructor(arguments_) {
    this.arguments = arguments_;
    this.log = "";
  }

  /** On the same port and directory as before. */
  async start() {
    const listen = `127.0.0.1:${this.port}`;
    const all = ["serve", ...this.arguments, "--listen", listen, "-o", "json", "--data", this.directory];
    this.child = spawn(binary, all, { stdio: ["ignore", "pipe", "pipe"] });
    this.ended = new Promise((resolve) => this.child.once("close", (code, signal) => resolve(code ?? signal)));
    this.#watch();
    const answered = new Promise((resolve) => {
      this.child.stdout.on("data", (data) => {
        this.log += data;
        if (String(data).includes("address")) resolve("answers");
      });
    });
    this.child.stderr.on("data", (data) => (this.log += data));
    const first = await Promise.race([answered, this.ended, sleep(60_000, "no answer in 60 s", { ref: false })]);
    if (first !== "answers") throw new Error(`factum ${all.join(" ")}: ${first}\n${this.log}`);
  }

  /** Asks it to stop, waits until it has, and gives its exit code. */
  async stop(signal = "SIGTERM") {
    this.child.kill(signal);
    const late = sleep(30_000, "late", { ref: false });
    const code = await Promise.race([this.ended, late]);
    if (code === "late") {
      this.child.kill("SIGKILL");
      throw new Error(`the server did not stop on ${signal} within 30 s\n${this.log}`);
    }
    return code;
  }

  async kill() {
    return this.stop("SIGKILL");
  }

  /** Ends the server when the pipe from this process closes, however this process ends. */
  #watch() {
    const script = `read -r line && exit 0; kill -KILL ${this.child.pid}`;
    this.watcher = spawn("sh", ["-c", script], { stdio: ["pipe", "ignore", "ignore"] });
    this.watcher.unref();
    this.watcher.stdin.unref?.();
    this.watcher.stdin.on("error", () => {});
    // Its number may be another's afterwards.
    const { watcher } = this;
    this.child.once("close", () => watcher.stdin.end("\n"));
  }
}

/** A port of loopback that nothing listens on now. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
