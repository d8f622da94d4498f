// Calls that the clients carry generated code for but no method of their own: over their connection, with their conversion of errors.

import { createRequire } from "node:module";
import { db, old } from "./client.mjs";

const require = createRequire(import.meta.url);
const names = {
  shared: "shared",
  streams: "streams",
  features: "serverfeatures",
  users: old ? "users" : "usermanagement",
};
const generated = old ? "@eventstore/db-client/generated" : "@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1";

/** The messages of a service, and its stub. */
export function service(name) {
  const file = `${generated}/${names[name]}`;
  return { ...require(`${file}_pb.js`), ...require(`${file}_grpc_pb.js`) };
}

/** A call with one request and one answer. */
export function call(client, Stub, method, request, options = {}) {
  return client.execute(Stub, method, (stub) =>
    new Promise((resolve, reject) => {
      stub[method](request, ...client.callArguments(options), (error, answer) =>
        error ? reject(db.convertToCommandError(error)) : resolve(answer));
    }));
}

/** A call with one request and many answers. */
export function list(client, Stub, method, request, options = {}) {
  return client.execute(Stub, method, (stub) =>
    new Promise((resolve, reject) => {
      const found = [];
      const answers = stub[method](request, ...client.callArguments(options));
      answers.on("data", (answer) => found.push(answer));
      answers.on("error", (error) => reject(db.convertToCommandError(error)));
      answers.on("end", () => resolve(found));
    }));
}

/** A call with many requests and one answer. */
export function send(client, Stub, method, requests, options = {}) {
  return client.execute(Stub, method, (stub) =>
    new Promise((resolve, reject) => {
      const sink = stub[method](...client.callArguments(options), (error, answer) =>
        error ? reject(db.convertToCommandError(error)) : resolve(answer));
      sink.on("error", () => {});
      for (const request of requests) sink.write(request);
      sink.end();
    }));
}
