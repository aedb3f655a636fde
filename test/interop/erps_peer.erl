%% A client and a daemon that behave as the reference does, its quirks included, written from erps.md alone. Driven over
%% stdin: each line is a number and an expression, which is evaluated; told over stdout are its value and, as they come, the
%% events: what has come, what was lost of it, and how each of them ended.
-module(erps_peer).
-export([main/0]).
-export([daemon/2, client/2, stop/1, kill/1, kill_servers/1, disconnect/1]).
-export([call/3, cast/2, send/2, send_to/2, send_to/3, local/2, push/2, answer/3, packet/2, packet/3, keepalive/0, decode/2, framing/2]).
-export([say/1, text/1, digest/1, hold/3, recv/3]).

-define(ACCEPT_WAIT, 1000).

main() ->
    logger:set_primary_config(level, none),
    {ok, _} = application:ensure_all_started(ssl),
    % Atoms are known by the modules that name them.
    [{module, _} = code:ensure_loaded(Module) || Module <- [erps_peer_wire, erps_peer_client, erps_peer_server]],
    things = ets:new(things, [named_table, public, bag]),
    Console = open_port({fd, 0, 1}, [binary, {line, 1048576}]),
    persistent_term:put(console, Console),
    spawn(fun() -> watch_the_clock(erlang:monotonic_time(millisecond)) end),
    say([ready, erlang:system_info(otp_release)]),
    commands(Console).

%% Tells when this node was without a processor: what came meanwhile is found all at once.
watch_the_clock(Last) ->
    receive after 10 -> ok end,
    Now = erlang:monotonic_time(millisecond),
    Now - Last > 25 andalso say([stalled, node, Now - Last]),
    watch_the_clock(Now).

commands(Console) ->
    receive
        {Console, {data, {eol, Line}}} ->
            [Id, Expression] = binary:split(Line, <<" ">>),
            spawn(fun() -> obey(Id, Expression) end),
            commands(Console);
        {'EXIT', Console, _} ->
            halt(0)
    end.

obey(Id, Expression) ->
    try evaluate(Expression) of
        Value -> say([done, Id, text(Value)])
    catch
        _:Reason -> say([failed, Id, text(Reason)])
    end.

evaluate(Expression) ->
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Expression)),
    {ok, Parsed} = erl_parse:parse_exprs(Tokens),
    Local = {value, fun(Name, Arguments) -> apply(?MODULE, Name, Arguments) end},
    {value, Value, _} = erl_eval:exprs(Parsed, [], Local),
    Value.

%% One line: an event, whom it is of, and what more there is to it.
say(Parts) ->
    Line = [lists:join($\t, [part(Part) || Part <- Parts]), $\n],
    try port_command(persistent_term:get(console), Line)
    catch error:badarg -> halt(0)
    end.

part(Part) when is_binary(Part); is_list(Part) -> Part;
part(Part) -> text(Part).

text(Value) ->
    Text = unicode:characters_to_binary(io_lib:format("~0tp", [Value])),
    string:slice(Text, 0, 300).

%% What a term is, the same for the same term only.
digest(Term) ->
    binary:encode_hex(binary:part(crypto:hash(sha256, term_to_binary(Term, [deterministic])), 0, 8)).

%% The daemon (section 8.1), its servers independent of one another and of it.

daemon(Name, Options) ->
    Self = self(),
    Pid = spawn(fun() ->
        {ok, Listener} = gen_tcp:listen(maps:get(port, Options, 0), [binary, {active, false}, {reuseaddr, true}, {ip, {127, 0, 0, 1}}]),
        {ok, Port} = inet:port(Listener),
        Self ! {self(), Port},
        accept(Name, Options, Listener, 1)
    end),
    ets:insert(things, {Name, daemon, Pid}),
    receive {Pid, Port} -> Port after 5000 -> error(does_not_listen) end.

%% Whoever does not shake hands keeps the others waiting.
accept(Name, Options, Listener, Number) ->
    case gen_tcp:accept(Listener, ?ACCEPT_WAIT) of
        {error, timeout} ->
            accept(Name, Options, Listener, Number);
        {ok, Socket} ->
            Self = self(),
            spawn(fun() ->
                {ok, {Server, Monitor}} = gen_server:start_monitor(erps_peer_server, {Name, Number, Options}, []),
                Self ! {started, Server},
                over(Name, Number, Monitor)
            end),
            receive
                {started, Server} ->
                    ets:insert(things, {Name, server, Server}),
                    ok = gen_tcp:controlling_process(Socket, Server),
                    catch gen_server:call(Server, {'$allow', Socket}, infinity)
            end,
            accept(Name, Options, Listener, Number + 1)
    end.

over(Name, Number, Monitor) ->
    receive {'DOWN', Monitor, _, _, Reason} -> say([ended, Name, Number, text(without_stack(Reason))]) end.

without_stack({Reason, [{_, _, _, _} | _]}) -> {crashed, Reason};
without_stack(Reason) -> Reason.

%% A client; with `restart => permanent` another takes its place, three times within five seconds.
client(Name, Options) ->
    Self = self(),
    Keeper = spawn(fun() -> keep(Self, Name, Options, 1, []) end),
    ets:insert(things, {Name, keeper, Keeper}),
    receive {Keeper, started} -> ok end.

keep(Starter, Name, Options, Number, Starts) ->
    {ok, {Client, Monitor}} = gen_server:start_monitor(erps_peer_client, {Name, Number, Options}, []),
    ets:match_delete(things, {Name, client, '_'}),
    ets:insert(things, {Name, client, Client}),
    Starter ! {self(), started},
    over(Name, Number, Monitor),
    Now = erlang:monotonic_time(millisecond),
    Recent = [Start || Start <- Starts, Now - Start < 5000],
    case maps:get(restart, Options, temporary) of
        permanent when length(Recent) < 3 -> keep(Starter, Name, Options, Number + 1, [Now | Recent]);
        permanent -> say([gave_up, Name]);
        temporary -> ok
    end.

%% All of that name, for good.
stop(Name) ->
    [end_of(Pid) || Kind <- [keeper, daemon, client, server], Pid <- pids(Name, Kind)],
    ets:delete(things, Name),
    ok.

%% A client, or a daemon without its servers.
kill(Name) -> [end_of(Pid) || Kind <- [daemon, client], Pid <- pids(Name, Kind)], ok.

kill_servers(Name) -> [end_of(Pid) || Pid <- pids(Name, server)], ok.

disconnect(Name) -> [gen_server:cast(Pid, '$disconnect') || Pid <- pids(Name, server)], ok.

end_of(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, _, _, _} -> ok end.

pids(Name, Kind) -> [Pid || {_, One, Pid} <- ets:lookup(things, Name), One =:= Kind, is_process_alive(Pid)].

%% What is asked of clients and servers.

call(Name, Request, Timeout) ->
    [Client] = pids(Name, client),
    try gen_server:call(Client, Request, Timeout)
    catch exit:{Reason, {gen_server, call, _}} -> {exit, without_stack(Reason)}
    end.

cast(Name, Request) -> [gen_server:cast(Client, Request) || Client <- pids(Name, client)], ok.

%% Bytes as they are: what no reference sends.
send(Name, Bytes) -> call(Name, {'$send', Bytes}, 5000).

%% The same to clients, so many ms from one to the next.
send_to(Name, Bytes) -> send_to(Name, [Bytes], 0).
send_to(Name, List, Gap) -> [gen_server:call(Server, {'$send', List, Gap}, infinity) || Server <- pids(Name, server)], ok.

local(Name, Request) -> [Server] = pids(Name, server), gen_server:call(Server, Request).

push(Name, Term) -> [gen_server:call(Server, {'$push', Term}) || Server <- pids(Name, server)], ok.

hold(Name, Key, From) -> ets:insert(things, {Name, {held, Key}, From}), say([held, Name, text(Key)]).

%% Answers what was asked with `{hold, Key}`.
answer(Name, Key, Answer) ->
    [{_, _, From}] = Held = [One || {_, {held, Same}, _} = One <- ets:lookup(things, Name), Same =:= Key],
    [ets:delete_object(things, One) || One <- Held],
    gen_server:reply(From, Answer).

packet(Type, Term) -> packet(Type, Term, #{}).
packet(Type, Term, Options) -> erps_peer_wire:packet(Type, Term, Options).
keepalive() -> erps_peer_wire:keepalive().

%% What the reader and the decoder make of bytes: for the measured cases.

decode(Bytes, Options) ->
    try erps_peer_wire:decode(Bytes, Options)
    catch error:Reason -> {raised, Reason}
    end.

%% So many reads. Each chunk is what one look at the socket finds.
framing(Chunks, Times) ->
    put(chunks, Chunks),
    [framed() || _ <- lists:seq(1, Times)].

framed() ->
    put(asked, []),
    Result = erps_peer_wire:read({?MODULE, none}, 100, #{}),
    {outcome(Result), lists:reverse(get(asked))}.

outcome({ok, Type, Term, _}) -> {Type, Term};
outcome({late, _}) -> {error, timeout};
outcome({junk, _}) -> {error, einval};
outcome(Result) -> Result.

recv(none, Length, Timeout) ->
    put(asked, [{Length, Timeout} | get(asked)]),
    case {Length, get(chunks)} of
        {_, []} -> {error, timeout};
        {_, [closed | _]} -> {error, closed};
        {0, [Chunk | Rest]} -> put(chunks, Rest), {ok, Chunk};
        {_, Chunks} -> exactly(Length, Chunks, <<>>)
    end.

exactly(Length, Chunks, Bytes) when byte_size(Bytes) >= Length ->
    <<Wanted:Length/binary, Rest/binary>> = Bytes,
    put(chunks, [Rest || Rest =/= <<>>] ++ Chunks),
    {ok, Wanted};
exactly(_, [], Bytes) ->
    put(chunks, [Bytes]),
    {error, timeout};
exactly(_, [closed | _] = Chunks, _) ->
    put(chunks, Chunks),
    {error, closed};
exactly(Length, [Chunk | Chunks], Bytes) ->
    exactly(Length, Chunks, <<Bytes/binary, Chunk/binary>>).
