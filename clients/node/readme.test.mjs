// What the README says to type to try the server, as it stands there but for the port: the command, then the program, in the order of the text.
// That the command alone listens on the port that the README names is tested with the command line.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, symlink, writeFile } from "node:fs/promises";
import { connect as open } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { soon, until } from "./client.mjs";
import { freePort } from "./server.mjs";

const here = dirname(fileURLToPath(import.meta.url));

/** The first block of a kind behind a heading. */
function block(text, heading, kind) {
  const [, section] = text.split(`\n## ${heading}\n`);
  assert.ok(section, `README.md has no section "${heading}"`);
  const [found] = section.split("\n## ")[0].matchAll(new RegExp(`^\`\`\`${kind}\n([^]*?)^\`\`\``, "gm"));
  assert.ok(found, `README.md has no block of ${kind} under "${heading}"`);
  return found[1].trim();
}

/** Whether somebody listens on a port. */
const listens = (port) =>
  new Promise((resolve) => {
    const socket = open(port, "localhost");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("close", () => socket.destroy());
    socket.unref();
    socket.once("connect", () => socket.end());
  });

/** Runs a program and takes down what it says. */
function run(program, words, options) {
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"], ...options });
  const ran = { child, out: "" };
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (ran.out += data));
  ran.ended = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(code ?? signal));
  });
  return ran;
}

test("a newcomer's event is in and read back within a minute", async () => {
  const readme = await readFile(join(here, "..", "..", "README.md"), "utf8");
  const command = block(readme, "Serve it", "console").split(/\s+/);
  const program = block(readme, "Serve it", "js");
  assert.equal(command[0], "factum");
  const port = await freePort();
  const parts = program.split("localhost:2113");
  assert.equal(parts.length, 2, "the program connects to one place");
  const directory = await mkdtemp(join(process.env.FACTUM_DIRECTORY ?? tmpdir(), "store-readme-"));
  await symlink(join(here, "node_modules"), join(directory, "node_modules"));
  await writeFile(join(directory, "place.mjs"), parts.join(`localhost:${port}`));
  // As it would be found by its name, and ended with this process.
  const PATH = [dirname(process.env.FACTUM_BINARY), process.env.PATH].join(delimiter);
  const options = { cwd: directory, env: { ...process.env, PATH, FACTUM_LISTEN: `127.0.0.1:${port}` } };
  const begun = Date.now();
  const server = run("setpriv", ["--pdeathsig", "KILL", ...command], options);
  try {
    await until(async () => {
      assert.equal(server.child.exitCode, null, server.out);
      return listens(port);
    }, "the server listens", 30);
    for (const round of [1, 2]) {
      const typed = run("setpriv", ["--pdeathsig", "KILL", "node", "place.mjs"], options);
      try {
        assert.equal(await soon(typed.ended, `the end of the program; it said ${typed.out}`, 30), 0, typed.out);
      } finally {
        typed.child.kill("SIGKILL");
      }
      const placed = typed.out.split("OrderPlaced { total: 42 }").length - 1;
      assert.equal(placed, round, typed.out);
    }
    const took = Date.now() - begun;
    assert.ok(took < 60_000, `it took ${took} ms`);
  } finally {
    server.child.kill("SIGTERM");
    const code = await soon(server.ended, "the end of the server", 30).finally(() => server.child.kill("SIGKILL"));
    assert.equal(code, 0, server.out);
  }
});
