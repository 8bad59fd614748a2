// The inside of a sandbox that takes connections only when it is asked to end, and tells when one has come.
import { openSandboxChannel } from "../channel.ts";

const channel = await openSandboxChannel();
channel.onListener((server) => server.on("connection", () => channel.send("accepted")));
channel.send("started");
await channel.ending;
channel.onConnection((socket) => socket.end("heard", () => channel.close()));
