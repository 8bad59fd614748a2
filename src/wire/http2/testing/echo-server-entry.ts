// The echo server as a process: `node echo-server-entry.ts PORT`, for h2spec and load generators by hand.
import { EchoServer } from "./echo-server.ts";

const server = new EchoServer();
console.log(await server.listen(Number(process.argv[2] ?? 0)));
