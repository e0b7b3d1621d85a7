# nuka 3300668e9f2a9aca22568c0b5ca06e76
# srv as the service needs of nuka. Run it as an administrator: it registers the service anew, and starts it.
$ErrorActionPreference = 'Stop'
function Invoke-SC { sc.exe @args | Out-Null; if ($LASTEXITCODE -ne 0) { throw "sc.exe $args ended with $LASTEXITCODE" } }
if (Get-Service -Name 'nuka-needs' -ErrorAction SilentlyContinue) {
	Stop-Service -Name 'nuka-needs' -Force
	Invoke-SC delete 'nuka-needs'
}
New-Service -Name 'nuka-needs' -DisplayName 'nuka-needs' -Description 'srv as the service needs of nuka' -StartupType Automatic -BinaryPathName ('"/bin/true" "a b" "$HOME ${X} `id` $(id) ' + [char]8216 + 'x' + [char]8217 + ' C:\a b\\" "q\"u''o\te" "" -x "' + [char]233 + [char]9 + [char]252 + '"') -DependsOn @('nuka-always') | Out-Null
New-ItemProperty -Path 'HKLM:\SYSTEM\CurrentControlSet\Services\nuka-needs' -Name Environment -PropertyType MultiString -Value @('NUKA_HOME=/with space/%h $y ''q''') -Force | Out-Null
Invoke-SC config 'nuka-needs' obj= 'NT SERVICE\nuka-needs'
Invoke-SC failure 'nuka-needs' reset= 60 actions= restart/1000/restart/10000/restart/60000
Invoke-SC failureflag 'nuka-needs' 1
Start-Service -Name 'nuka-needs'
