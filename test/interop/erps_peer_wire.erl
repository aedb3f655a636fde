%% Packets as the reference makes and reads them (erps.md, sections 2 to 4, 6 and 7), written from that document alone.
-module(erps_peer_wire).
-export([packet/3, keepalive/0, read/3, decode/2]).

-define(REST_WAIT, 500).

keepalive() -> <<"erps", 0:40>>.

%% Options: `version`, `identifier`, `compressed` (true, or 0 to 9).
packet(Type, Term, Options) ->
    {Major, Minor, Patch} = maps:get(version, Options, {0, 0, 0}),
    Identifier = maps:get(identifier, Options, <<>>),
    Padding = 8 * (36 - byte_size(Identifier)),
    Payload = term_to_binary(Term, compression(maps:get(compressed, Options, false))),
    <<"erps", (byte_size(Payload)):32, (code(Type)), Major, Minor, Patch, Identifier/binary, 0:Padding, 0:(8 * 48), Payload/binary>>.

compression(false) -> [{minor_version, 1}];
compression(true) -> [compressed, {minor_version, 2}];
compression(Level) -> [{compressed, Level}, {minor_version, 2}].

%% One cycle of section 4.1: there is nothing that carries over to the next. `junk` and `late` say how many bytes are lost.
read({Module, Socket}, Wait, Options) ->
    case Module:recv(Socket, 0, Wait) of
        {ok, <<"erps", 0:40>>} ->
            keepalive;
        {ok, <<"erps", Size:32, Rest/binary>>} when byte_size(Rest) =:= 88 + Size ->
            decode(Rest, Options);
        {ok, <<"erps", Size:32, Rest/binary>> = Begun} when byte_size(Rest) < 88 + Size ->
            case Module:recv(Socket, 88 + Size - byte_size(Rest), ?REST_WAIT) of
                {ok, More} -> decode(<<Rest/binary, More/binary>>, Options);
                {error, timeout} -> {late, byte_size(Begun)};
                Error -> Error
            end;
        {ok, Bytes} ->
            {junk, byte_size(Bytes)};
        Error ->
            Error
    end.

%% What stands behind the preamble. Options: `identifier`, `versions` (a function of a version), `safe`. The order is that of
%% section 6.1. Raises where a function or a port comes in safe mode.
decode(<<0>>, _) ->
    keepalive;
decode(<<Code, Major, Minor, Patch, Padded:36/binary, Key:128, Signature:256, Payload/binary>>, Options) ->
    Version = {Major, Minor, Patch},
    Identifier = unpadded(Padded),
    case {type(Code), Options} of
        {unknown, _} ->
            {error, einval};
        {_, #{identifier := Wanted}} when Wanted =/= Identifier ->
            {refused, <<"wrong identifier">>};
        {Type, _} ->
            Versions = maps:get(versions, Options, fun(_) -> true end),
            case Versions(Version) of
                false -> {refused, <<"incompatible version">>};
                true when Key =/= 0; Signature =/= 0 -> {refused, <<"authentication provided">>};
                true -> term(Type, Payload, maps:get(safe, Options, true), #{version => Version, identifier => Identifier})
            end
    end;
decode(_, _) ->
    {error, einval}.

term(Type, Payload, Safe, Header) ->
    try binary_to_term(Payload, case Safe of false -> [used]; _ -> [safe, used] end) of
        {Term, Used} ->
            Safe =:= false orelse harmless(Term) orelse error(unsafe),
            {ok, Type, Term, Header#{behind => byte_size(Payload) - Used}}
    catch
        error:badarg -> {error, badarg}
    end.

harmless(Term) when is_function(Term); is_port(Term) -> false;
harmless([Head | Tail]) -> harmless(Head) andalso harmless(Tail);
harmless(Term) when is_tuple(Term) -> harmless(tuple_to_list(Term));
harmless(Term) when is_map(Term) -> harmless(maps:to_list(Term));
harmless(_) -> true.

unpadded(Bytes) -> string:trim(Bytes, trailing, [0]).

type(0) -> keepalive;
type(1) -> error;
type(2) -> reply;
type(3) -> push;
type(4) -> call;
type(8) -> cast;
type(_) -> unknown.

code(keepalive) -> 0;
code(error) -> 1;
code(reply) -> 2;
code(push) -> 3;
code(call) -> 4;
code(cast) -> 8.
