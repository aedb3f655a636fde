/* What `waystation/service` is: services that answer, callers, and workers, over Erps and between Waystations. */
export { serveService, type Handlers, type JsonValue, type ServeServiceOptions, type Service, type ServiceAsker, type ServiceConnection, type ServiceFrom, type ServiceHandlers, type ServiceLogger, type Shown, type TlsFiles, type ValueOf } from './serve-service.ts'
export { connectService, type CallOptions, type ClientCounters, type ClientState, type ConnectedService, type ConnectServiceOptions, type Policy, type ServiceAddress } from './connect-service.ts'
export { workService, type RunningWorker, type WorkerState, type WorkServiceOptions } from './work-service.ts'
export { WaystationError, type ErrorCode } from '../core/errors.ts'
export { Atom, BitString, ExternalFunction, Float, ImproperList, LocalFunction, Pid, Port, Reference, TermMap, Tuple, type Term } from '../protocol/etf/term.ts'
