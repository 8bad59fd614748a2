// A proxyless gRPC client (@grpc/grpc-js-xds) as a process of its own: it reads its bootstrap when its module is loaded,
// and keeps timers after its end. `grpc-xds-entry.ts TARGET METHOD`; a line of standard input as `{"count": 20, "user":
// "jason"}` makes so many calls, a line of standard output says who answered how often.
import { createInterface } from "node:readline";
import { credentials, Metadata, makeGenericClientConstructor } from "@grpc/grpc-js";
import { register } from "@grpc/grpc-js-xds";
import { rawStreamMethod } from "#wire/grpc/service-definition.ts";

const [target = "", path = ""] = process.argv.slice(2);
const method = { ...rawStreamMethod(path), requestStream: false as const, responseStream: false as const };
register();
const Client = makeGenericClientConstructor({ Say: method }, "Echo");
const client = new Client(target, credentials.createInsecure());

function say(metadata: Metadata): Promise<string> {
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      method.requestSerialize,
      method.responseDeserialize,
      Buffer.from("x"),
      metadata,
      { deadline: Date.now() + 10_000 },
      (error, bytes) => resolve(error === null ? String(bytes) : `error ${error.code}`),
    );
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const { count, user } = JSON.parse(line) as { readonly count: number; readonly user?: string };
  const metadata = new Metadata();
  if (user !== undefined) metadata.set("end-user", user);
  const answers: Record<string, number> = {};
  for (let call = 0; call < count; call++) {
    const answer = await say(metadata);
    answers[answer] = (answers[answer] ?? 0) + 1;
  }
  console.log(JSON.stringify(answers));
}
