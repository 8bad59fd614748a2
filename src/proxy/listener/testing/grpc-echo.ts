// A gRPC service of bytes without a schema, served and called by @grpc/grpc-js.
import {
  Client,
  type ClientDuplexStream,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  credentials,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServiceError,
} from "@grpc/grpc-js";

const asIs = (bytes: Buffer): Buffer => bytes;

function method(name: string, requestStream: boolean, responseStream: boolean): MethodDefinition<Buffer, Buffer> {
  return {
    path: `/test.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
}

const service = {
  unary: method("Unary", false, false),
  collect: method("Collect", true, false),
  expand: method("Expand", false, true),
  chat: method("Chat", true, true),
};

export interface EchoHandlers {
  readonly unary: handleUnaryCall<Buffer, Buffer>;
  readonly collect: handleClientStreamingCall<Buffer, Buffer>;
  readonly expand: handleServerStreamingCall<Buffer, Buffer>;
  readonly chat: handleBidiStreamingCall<Buffer, Buffer>;
}

const echo: EchoHandlers = {
  unary: (call, done) => {
    const trailers = new Metadata();
    for (const [name, value] of Object.entries(call.metadata.getMap())) {
      if (name.startsWith("x-")) trailers.add(name, value);
    }
    const head = new Metadata();
    head.set("x-head", "early");
    call.sendMetadata(head);
    done(null, call.request, trailers);
  },
  collect: (call, done) => {
    const parts: Buffer[] = [];
    call.on("data", (part: Buffer) => parts.push(part));
    call.on("end", () => done(null, Buffer.concat(parts)));
  },
  expand: (call) => {
    for (const byte of call.request) call.write(Buffer.of(byte));
    call.end();
  },
  chat: (call) => {
    call.on("data", (part: Buffer) => call.write(part));
    call.on("end", () => call.end());
  },
};

export interface GrpcServer {
  readonly port: number;
  stop(): void;
}

/** Echoes, but for the handlers that are given. */
export async function grpcServer(handlers: Partial<EchoHandlers> = {}): Promise<GrpcServer> {
  const unlimited = -1;
  const server = new Server({
    "grpc.max_receive_message_length": unlimited,
    "grpc.max_send_message_length": unlimited,
  });
  server.addService(service, { ...echo, ...handlers });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return { port, stop: () => server.forceShutdown() };
}

export interface UnaryAnswer {
  readonly error: ServiceError | null;
  readonly body: Buffer | undefined;
  readonly head: Metadata | null;
  readonly trailers: Metadata | null;
}

export class EchoClient {
  readonly #client: Client;

  constructor(port: number, options: ClientOptions = {}) {
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.enable_retries": 0,
      ...options,
    });
  }

  close(): void {
    this.#client.close();
  }

  unary(body: Buffer, metadata: Metadata = new Metadata(), deadlineMs = 10_000): Promise<UnaryAnswer> {
    return this.startUnary(body, metadata, deadlineMs).answer;
  }

  /** Also the call, to cancel it. */
  startUnary(
    body: Buffer,
    metadata: Metadata = new Metadata(),
    deadlineMs = 10_000,
  ): { readonly call: ClientUnaryCall; readonly answer: Promise<UnaryAnswer> } {
    const { promise: answer, resolve } = Promise.withResolvers<UnaryAnswer>();
    let head: Metadata | null = null;
    let result: { error: ServiceError | null; body: Buffer | undefined } | null = null;
    let trailers: Metadata | null = null;
    const finish = (): void => {
      if (result !== null && trailers !== null) resolve({ ...result, head, trailers });
    };
    const options = { deadline: Date.now() + deadlineMs };
    const call = this.#client.makeUnaryRequest(
      service.unary.path,
      asIs,
      asIs,
      body,
      metadata,
      options,
      (error, received) => {
        result = { error, body: received };
        finish();
      },
    );
    call.on("metadata", (received) => (head = received));
    call.on("status", (status) => {
      trailers = status.metadata;
      finish();
    });
    return { call, answer };
  }

  collect(parts: readonly Buffer[]): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const call = this.#client.makeClientStreamRequest<Buffer, Buffer>(
        service.collect.path,
        asIs,
        asIs,
        (error, body) => {
          if (error !== null) reject(error);
          else resolve(body ?? Buffer.of());
        },
      );
      for (const part of parts) call.write(part);
      call.end();
    });
  }

  expand(body: Buffer): ClientReadableStream<Buffer> {
    return this.#client.makeServerStreamRequest(service.expand.path, asIs, asIs, body);
  }

  chat(): ClientDuplexStream<Buffer, Buffer> {
    return this.#client.makeBidiStreamRequest(service.chat.path, asIs, asIs);
  }
}
